// A real browser: Debian's Chromium, or the one CHROMIUM_PATH names. Where there is none its tests are left out, except in CI, where they fail.
import { existsSync } from 'node:fs';
import test from 'ava';
import { type Browser, chromium } from 'playwright-core';

const executablePath = process.env.CHROMIUM_PATH || '/usr/bin/chromium';
const isMissing = !existsSync(executablePath);

/** Whether the tests run that need one. */
export const isWanted = !isMissing || process.env.CI === 'true';
export const inBrowser = isWanted ? test.serial : test.serial.skip;
/** For the titles of tests that are left out. */
export const why = isMissing ? ' (no browser: install the package chromium, or set CHROMIUM_PATH)' : '';

/** @throws when there is none. */
export const launchChromium = async (): Promise<Browser> => {
  if (isMissing) throw new Error(`no browser at ${executablePath}: install the package chromium, or set CHROMIUM_PATH`);
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  });
};
