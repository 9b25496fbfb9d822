// The system's Chromium, without a display and without calls home.

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

function find() {
  const paths = (process.env.PATH ?? '').split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const found = process.env.CHROMIUM ?? paths.find(existsSync);
  if (found === undefined) throw new Error('no chromium on PATH (set CHROMIUM to its path)');
  return found;
}

export const openBrowser = () => chromium.launch({ executablePath: find(), headless: true, args: FLAGS });
