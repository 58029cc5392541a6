// RFC 8628 §3.3: who lets a device in signs in in whichever way they always do.
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { type Federated, startFederated } from '../helpers/federated.ts';
import { newApp } from '../helpers/relying-party.ts';

let federated: Federated;
test.before(async () => {
  federated = await startFederated();
});
test.after.always(() => federated?.close());

test('the device flow goes through another provider and comes back', async (t) => {
  const { server } = federated;
  const { rp } = await newApp(server, {
    client_name: 'Living Room TV',
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'none',
  });
  const answer = await oidc.initiateDeviceAuthorization(rp, { scope: 'openid email' });
  const browser = createBrowser(server.issuer);
  const code = await browser.submit(await browser.go('/device'), 'continue', { user_code: answer.user_code });
  const login = await browser.submit(code, 'confirm');
  const consent = await browser.go(await federated.press(browser, login, 'google'));
  t.regex(consent.html, /device that shows the code/);
  const done = await browser.submit(consent, 'allow');
  t.regex(done.html, /Your device is connected/);
  const tokens = await oidc.pollDeviceAuthorizationGrant(rp, answer);
  t.truthy(tokens.claims()?.sub);
});
