import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import { defineConfig } from 'eslint/config';
import globals from 'globals';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

export default defineConfig(
  { ignores: ['dist/', 'test-results/', 'node_modules/'] },
  js.configs.recommended,
  { files: ['*.js'], languageOptions: { globals: globals.node } },
  // These speak of the page too, in what they have it evaluate.
  { files: ['e2e/*.mjs'], languageOptions: { globals: { ...globals.node, ...globals.browser } } },
  {
    files: ['src/**/*.ts', 'src/**/*.svelte', 'src/**/*.svelte.ts'],
    extends: [...ts.configs.strictTypeChecked],
    languageOptions: { globals: globals.browser, parserOptions: { projectService: true, extraFileExtensions: ['.svelte'] } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      // Only the ledger knows whether the page lives in Tauri's window or in a browser.
      'no-restricted-imports': ['error', { patterns: [{ group: ['@tauri-apps/*'], message: 'only src/api/ledger.ts speaks to Tauri' }] }],
      // An effect names what it waits for by reading it.
      '@typescript-eslint/no-meaningless-void-operator': 'off',
      'svelte/no-at-html-tags': 'error',
    },
  },
  ...svelte.configs.recommended,
  { files: ['**/*.svelte', '**/*.svelte.ts'], languageOptions: { parserOptions: { parser: ts.parser, svelteConfig } } },
  // The ledgers are closures; their verbs need no `this`.
  { files: ['src/**/*.test.ts'], rules: { '@typescript-eslint/unbound-method': 'off' } },
  { files: ['src/api/ledger.ts'], rules: { 'no-restricted-imports': 'off' } },
);
