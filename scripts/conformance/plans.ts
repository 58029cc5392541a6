// What the OpenID Foundation's conformance suite needs to know for each of its plans, and what it registers as: a table.
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { randomSecret } from '../../src/domain/secrets.ts';

/** One client of a plan: what we register, and what the suite is told of it. */
export type PlanClient = { metadata: Record<string, unknown> & { client_id: string }; told: Record<string, unknown> };

export type Plan = {
  /** The suite's name of it. */
  plan: string;
  /** What to choose beside it, by the suite's names. */
  variant: Record<string, string>;
  /** By the names that the suite's configuration has for them. */
  clients: Record<string, PlanClient>;
  /** Whether its clients show certificates, which a proxy has to hand on. */
  mutualTls?: boolean;
  /** Further members of the suite's configuration. */
  more?: Record<string, unknown>;
};

export type PlanSettings = {
  issuer: string;
  /** Where the suite is. */
  suite: string;
  /** The suite's name for this configuration, which is in every address of it. */
  alias: string;
  /** Who approves, in plans without a browser. */
  email: string;
};

const EVERY_SCOPE = 'openid profile email address phone offline_access';

const signingKeys = async (alg: string, kid: string): Promise<{ public: JWK[]; private: JWK[] }> => {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const marks = { kid, alg, use: 'sig' };
  return {
    public: [{ ...(await exportJWK(publicKey)), ...marks }],
    private: [{ ...(await exportJWK(privateKey)), ...marks }],
  };
};

export const conformancePlans = async ({ issuer, suite, alias, email }: PlanSettings): Promise<Plan[]> => {
  const base = `${suite}/test/a/${alias}`;
  const callback = `${base}/callback`;
  const code = { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] };
  const resource = { resourceUrl: `${issuer}/oauth/userinfo` };

  const named = (name: string) => ({ client_id: `conformance-${name}`, client_name: `Conformance: ${name}` });

  /** A client whose secret is compared. */
  const bySecret = (name: string, more: Record<string, unknown> = {}): PlanClient => {
    const { client_id, client_name } = named(name);
    const client_secret = randomSecret(32);
    const addresses = { redirect_uris: [callback], client_uri: suite, policy_uri: suite, tos_uri: suite };
    return {
      metadata: { client_id, client_name, client_secret, scope: EVERY_SCOPE, ...addresses, ...code, ...more },
      told: { client_id, client_secret },
    };
  };

  /** A client with a key of its own, the private half of which only the suite has. */
  const byKey = async (name: string, alg: string, more: Record<string, unknown> = {}): Promise<PlanClient> => {
    const { client_id, client_name } = named(name);
    const keys = await signingKeys(alg, `${client_id}-${alg}`);
    return {
      metadata: {
        client_id,
        client_name,
        scope: EVERY_SCOPE,
        ...code,
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: alg,
        jwks: { keys: keys.public },
        ...more,
      },
      told: { client_id, scope: EVERY_SCOPE, jwks: { keys: keys.private } },
    };
  };

  /** The pair that every FAPI 2.0 plan wants: the second one's redirect URI has a query. */
  const fapiPair = async (name: string, profile: string) => {
    const dpop = (client: PlanClient): PlanClient => ({
      ...client,
      told: { ...client.told, dpop_signing_alg: 'ES256' },
    });
    const common = { profile, dpop_bound_access_tokens: true };
    return {
      client: dpop(await byKey(name, 'PS256', { ...common, redirect_uris: [callback] })),
      client2: dpop(
        await byKey(`${name}-2`, 'ES256', { ...common, redirect_uris: [`${callback}?dummy1=lorem&dummy2=ipsum`] }),
      ),
    };
  };

  const ciba = (name: string, mode: 'poll' | 'ping') =>
    byKey(name, 'PS256', {
      redirect_uris: [],
      response_types: [],
      grant_types: ['urn:openid:params:grant-type:ciba', 'refresh_token'],
      // FAPI 1.0, which this profile is of, knows no other binding.
      tls_client_certificate_bound_access_tokens: true,
      id_token_signed_response_alg: 'PS256',
      backchannel_authentication_request_signing_alg: 'PS256',
      backchannel_token_delivery_mode: mode,
      ...(mode === 'ping' && { backchannel_client_notification_endpoint: `${base}/ciba-notification-endpoint` }),
    });

  const asked = { server_metadata: 'discovery', client_registration: 'static_client' };
  const fapi = { client_auth_type: 'private_key_jwt', sender_constrain: 'dpop', openid: 'openid_connect' };
  const signedOut = { post_logout_redirect_uris: [`${base}/post_logout_redirect`] };
  const basic = {
    client: bySecret('basic'),
    client2: bySecret('basic-2'),
    client_secret_post: bySecret('post', { token_endpoint_auth_method: 'client_secret_post' }),
  };
  const hint = { hint_type: 'login_hint', hint_value: email };

  return [
    { plan: 'oidcc-config-certification-test-plan', variant: {}, clients: {} },
    { plan: 'oidcc-basic-certification-test-plan', variant: asked, clients: basic },
    { plan: 'oidcc-formpost-basic-certification-test-plan', variant: asked, clients: basic },
    { plan: 'oidcc-dynamic-certification-test-plan', variant: { response_type: 'code' }, clients: {} },
    {
      plan: 'oidcc-rp-initiated-logout-certification-test-plan',
      variant: { ...asked, response_type: 'code' },
      clients: { client: bySecret('logout', signedOut) },
    },
    {
      plan: 'oidcc-backchannel-rp-initiated-logout-certification-test-plan',
      variant: { ...asked, response_type: 'code' },
      clients: {
        client: bySecret('backchannel-logout', {
          ...signedOut,
          backchannel_logout_uri: `${base}/backchannel_logout`,
          backchannel_logout_session_required: true,
        }),
      },
    },
    {
      plan: 'fapi2-security-profile-final-test-plan',
      variant: { ...fapi, fapi_profile: 'plain_fapi' },
      clients: await fapiPair('fapi2', 'fapi2'),
      more: { resource },
    },
    {
      plan: 'fapi2-message-signing-final-test-plan',
      variant: {
        ...fapi,
        fapi_profile: 'plain_fapi',
        fapi_request_method: 'signed_non_repudiation',
        fapi_response_mode: 'jarm',
      },
      clients: await fapiPair('fapi2-ms', 'fapi2-message-signing'),
      more: { resource },
    },
    ...(await Promise.all(
      (['poll', 'ping'] as const).map(async (mode) => {
        const [client, client2] = [await ciba(`ciba-${mode}`, mode), await ciba(`ciba-${mode}-2`, mode)];
        return {
          plan: 'fapi-ciba-id1-test-plan',
          mutualTls: true,
          variant: {
            client_auth_type: 'private_key_jwt',
            ciba_mode: mode,
            fapi_ciba_profile: 'plain_fapi',
            client_registration: 'static_client',
          },
          clients: {
            client: { ...client, told: { ...client.told, ...hint } },
            client2: { ...client2, told: { ...client2.told, ...hint } },
          },
          more: { resource },
        };
      }),
    )),
  ];
};

/** A plan's configuration as the suite takes it. */
export const suiteConfiguration = ({ clients, more = {} }: Plan, { issuer, alias }: PlanSettings) => ({
  alias,
  server: { discoveryUrl: `${issuer}/.well-known/openid-configuration` },
  ...Object.fromEntries(Object.entries(clients).map(([name, { told }]) => [name, told])),
  ...more,
});
