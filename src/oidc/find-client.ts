import { type Client, errors, type Provider } from 'oidc-provider';

/** The client; undefined also where its document (client-documents.ts) cannot be had. */
export const findClient = async (provider: Provider, clientId: string): Promise<Client | undefined> => {
  try {
    return await provider.Client.find(clientId);
  } catch (error) {
    if (error instanceof errors.OIDCProviderError) return undefined;
    throw error;
  }
};
