import { interactionPolicy } from 'oidc-provider';

const { Check, Prompt, base } = interactionPolicy;

/**
 * How sure a sign-in with a password makes us: NIST SP 800-63B authenticator assurance level 1. Another provider's word makes us no
 * surer (SP 800-63C): how it knew, amr tells.
 */
export const ACR_PASSWORD = 'aal1';

/** When a person is asked, and for what: the engine's own prompts, and what OIDC Core and this service add. */
export const createInteractionPolicy = () => {
  const policy = base();

  // OIDC Core §3.1.2.1: prompt=select_account. Only ever on request, and only while somebody is signed in to choose:
  // for anybody else the login prompt asks the same.
  const selectAccount = new Prompt({ name: 'select_account', requestable: true });
  policy.add(selectAccount, 0);

  // The session may outlive its user: banned or deleted meanwhile. The engine would go on with an account-less session.
  policy
    .get('login')
    ?.checks.add(
      new Check('account_gone', 'End-User authentication is required', 'login_required', ({ oidc }) =>
        oidc.session?.accountId !== undefined && oidc.account === undefined
          ? Check.REQUEST_PROMPT
          : Check.NO_NEED_TO_PROMPT,
      ),
    );

  return policy;
};
