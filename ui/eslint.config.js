import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

export default ts.config(
  { ignores: ['dist/', 'test-results/', 'node_modules/'] },
  js.configs.recommended,
  { files: ['**/*.mjs', '*.js'], languageOptions: { globals: globals.node } },
  {
    files: ['src/**/*.ts', 'src/**/*.svelte', 'src/**/*.svelte.ts'],
    extends: [...ts.configs.strictTypeChecked, ...svelte.configs.recommended],
    languageOptions: {
      globals: globals.browser,
      parserOptions: { projectService: true, extraFileExtensions: ['.svelte'], parser: ts.parser, svelteConfig },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      // Only the ledger knows whether the page lives in Tauri's window or in a browser.
      'no-restricted-imports': ['error', { patterns: [{ group: ['@tauri-apps/*'], message: 'only src/api/ledger.ts speaks to Tauri' }] }],
      'svelte/no-at-html-tags': 'error',
    },
  },
  { files: ['src/api/ledger.ts'], rules: { 'no-restricted-imports': 'off' } },
);
