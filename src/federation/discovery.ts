import { createRemoteJWKSet, customFetch } from 'jose';
import { z } from 'zod';
import { UpstreamError } from './identity.ts';
import { mayLeadTo, type Network } from './reach.ts';
import { asking, jsonOf, TIMEOUT_MS } from './upstream.ts';

const Metadata = z.object({
  issuer: z.string(),
  authorization_endpoint: z.url(),
  token_endpoint: z.url(),
  jwks_uri: z.url(),
  userinfo_endpoint: z.url().optional(),
  token_endpoint_auth_methods_supported: z.array(z.string()).default(['client_secret_basic']),
  authorization_response_iss_parameter_supported: z.boolean().default(false),
});
export type Discovered = Awaited<ReturnType<typeof discover>>;

/**
 * What a provider says of itself, with its keys, and a way to ask where it leads.
 *
 * @throws {UpstreamError} `unavailable`
 * @see [OpenID Connect Discovery §4](https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig)
 */
export const discover = async (issuer: string, network: Network) => {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const { status, text, address } = await asking(network)(url);
  if (status !== 200) throw new UpstreamError('unavailable', `${url} answered ${status}`);
  const parsed = Metadata.safeParse(jsonOf(text, url));
  // §4.3: whoever answers must be who was asked.
  if (!parsed.success || parsed.data.issuer !== issuer)
    throw new UpstreamError('unavailable', `${url} is not the metadata of ${issuer}`);
  // Where it is, the connection tells on which it has proven to be it: its name may lead elsewhere by the next look-up.
  const from = network.reachOf(address);
  const { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint } = parsed.data;
  // The browser is sent to the first, and we ask the others, with our secret: none is to lead us where its provider could not go itself.
  for (const one of [authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint])
    if (one !== undefined && !(await mayLeadTo(network, from, new URL(one))))
      throw new UpstreamError('unavailable', `${issuer} leads to ${new URL(one).host}, which it must not`);
  // What is kept of this is kept for an hour: each connection is held against it once more.
  const ask = asking(network, from);
  const jwks = createRemoteJWKSet(new URL(jwks_uri), {
    timeoutDuration: TIMEOUT_MS,
    [customFetch]: async (at: string) => {
      const { status, text } = await ask(at);
      return new Response(text, { status });
    },
  });
  return { ...parsed.data, jwks, ask };
};
