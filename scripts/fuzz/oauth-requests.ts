// Requests to the protocol's endpoints: parameters that belong together, with slips, and clients of every kind.
import fc, { type Arbitrary } from 'fast-check';
import { CREDENTIALS, KNOWN_VALUES } from './known-values.ts';
import { AUTHORIZATION, ENDPOINTS, type Endpoint } from './oauth-endpoints.ts';
import { bodyOfPairs, otherHeaders } from './parts.ts';
import type { FuzzRequest, Pairs } from './request.ts';
import { type Odd, wrap } from './signing.ts';
import { hostileJson, hostileName, hostileText } from './values.ts';

const odd: Arbitrary<Odd> = fc.record(
  {
    header: fc.dictionary(
      fc.constantFrom('alg', 'typ', 'kid', 'jwk', 'crit', 'b64', 'jku', 'enc', 'zip', 'cty'),
      hostileJson,
      { maxKeys: 2 },
    ),
    claims: fc.dictionary(
      fc.oneof(
        {
          arbitrary: fc.constantFrom(
            ...AUTHORIZATION,
            'iss',
            'sub',
            'aud',
            'exp',
            'iat',
            'nbf',
            'jti',
            'htm',
            'htu',
            'ath',
            'nonce',
          ),
          weight: 6,
        },
        { arbitrary: hostileName, weight: 1 },
      ),
      hostileJson,
      { maxKeys: 3 },
    ),
  },
  { requiredKeys: [] },
);

const valueFor = (name: string): Arbitrary<string> => {
  const right = fc.constantFrom(...(KNOWN_VALUES[name] ?? ['x']));
  if (name === 'client_assertion')
    return fc.oneof(
      right,
      odd.map((one) => wrap('assertion', one)),
      hostileText,
    );
  if (name === 'request')
    return fc.oneof(right, { arbitrary: odd.map((one) => wrap('request', one)), weight: 4 }, hostileText);
  return fc.oneof(
    { arbitrary: right, weight: 3 },
    { arbitrary: hostileText, weight: 2 },
    { arbitrary: hostileJson.map((value) => JSON.stringify(value)), weight: 1 },
  );
};

/** The usual parameters, with up to three that are left out, other than usual, there twice, in brackets, or new. */
const pairsFor = ({ parameters, usual }: Endpoint): Arbitrary<Pairs> =>
  fc
    .tuple(
      fc.constantFrom(...usual),
      fc.array(
        fc
          .constantFrom(...parameters)
          .chain((name) =>
            fc.tuple(
              fc.constant(name),
              fc.constantFrom('other', 'other', 'other', 'without', 'twice', 'list', 'member'),
              valueFor(name),
            ),
          ),
        { maxLength: 3 },
      ),
      fc.option(fc.tuple(hostileName, hostileText), { freq: 8 }),
    )
    .map(([right, slips, extra]) => {
      let pairs: Pairs = Object.entries(right);
      for (const [name, how, value] of slips) {
        if (how === 'twice') pairs.push([name, value], [name, value]);
        else pairs = pairs.filter(([other]) => other !== name);
        if (how === 'other') pairs.push([name, value]);
        if (how === 'list') pairs.push([`${name}[]`, value]);
        if (how === 'member') pairs.push([`${name}[a]`, value]);
      }
      return extra ? [...pairs, extra] : pairs;
    });

const credentialHeaders: Arbitrary<Pairs> = fc.oneof(
  { arbitrary: fc.constant<Pairs>([]), weight: 5 },
  { arbitrary: fc.constantFrom(...CREDENTIALS.client).map((value): Pairs => [['authorization', value]]), weight: 2 },
  {
    arbitrary: fc
      .tuple(fc.constantFrom('Basic', 'Bearer', 'DPoP', 'basic', ''), hostileText)
      .map(([scheme, text]): Pairs => [['authorization', `${scheme} ${text}`]]),
    weight: 1,
  },
  {
    arbitrary: fc
      .tuple(hostileText, hostileText)
      .map(([id, secret]): Pairs => [['authorization', `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`]]),
    weight: 1,
  },
  {
    arbitrary: odd.map(
      (one): Pairs => [
        ['dpop', wrap('dpop', one)],
        ['authorization', 'DPoP {{oauth.token}}'],
      ],
    ),
    weight: 1,
  },
  { arbitrary: odd.map((one): Pairs => [['dpop', wrap('dpop', one)]]), weight: 2 },
);

const cookieHeaders: Arbitrary<Pairs> = fc.constantFrom<Pairs>(
  [],
  [['cookie', '{{account.cookies}}']],
  [['cookie', '{{login.cookies}}']],
);

export const oauthRequest: Arbitrary<FuzzRequest> = fc.constantFrom(...ENDPOINTS).chain((endpoint) =>
  fc
    .tuple(pairsFor(endpoint), credentialHeaders, cookieHeaders, otherHeaders)
    .chain(([pairs, credentials, cookies, others]) =>
      (endpoint.method === 'GET' ? fc.constant<Partial<FuzzRequest>>({ query: pairs }) : bodyOfPairs(pairs)).map(
        (carried): FuzzRequest => ({
          operation: `${endpoint.method} /${endpoint.path}`,
          method: endpoint.method,
          path: endpoint.path.split('/'),
          query: [],
          body: undefined,
          ...carried,
          headers: [
            ...(endpoint.path === 'oauth/userinfo' && credentials.length === 0
              ? ([['authorization', 'Bearer {{oauth.token}}']] as Pairs)
              : credentials),
            ...cookies,
            ...others,
            ...(carried.headers ?? []),
          ],
        }),
      ),
    ),
);
