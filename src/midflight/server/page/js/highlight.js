// Code in colours, as a tree of tokens and never as HTML. The library comes when code is first shown.

import {html} from '../vendor/lit-html/lit-html.js';
import {inert} from './inert.js';
import {fold} from './ui.js';

const NAMES = {
  sh: 'bash', shell: 'bash', zsh: 'bash', console: 'bash', cc: 'cpp', 'c++': 'cpp', h: 'c', hpp: 'cpp', js: 'javascript', mjs: 'javascript',
  jsx: 'javascript', ts: 'typescript', tsx: 'typescript', py: 'python', rb: 'ruby', rs: 'rust', yml: 'yaml', md: 'markdown', html: 'xml',
  svg: 'xml', toml: 'ini', cfg: 'ini', patch: 'diff',
};
const KNOWN = new Set(['bash', 'c', 'cpp', 'css', 'diff', 'go', 'ini', 'java', 'javascript', 'json', 'markdown', 'python', 'ruby', 'rust', 'sql', 'typescript', 'xml', 'yaml']);
const LONGEST = 60_000; // longer code stays plain: colours are not worth a frozen page

let lowlight = null;
const asked = new Set();

async function bring(language) {
  if (asked.has(language)) return;
  asked.add(language);
  try {
    if (!lowlight) lowlight = (await import('../vendor/lowlight/lowlight.js')).createLowlight();
    lowlight.register({[language]: (await import(`../vendor/highlight/${language}.js`)).default});
    colours.clear();
    fold('colours', {});
  } catch {
    // Without colours the code can be read as well.
  }
}

function node(each) {
  if (each.type === 'text') return inert(each.value);
  return html`<span class=${(each.properties.className ?? []).join(' ')}>${each.children.map(node)}</span>`;
}

const colours = new Map(); // what was coloured lately

/** The language that a name, or the name of a file, tells; nothing where it tells none. */
export function languageOf(name) {
  const word = String(name ?? '').trim().toLowerCase().split(/[\s{]/)[0].split('.').at(-1);
  const language = NAMES[word] ?? word;
  return KNOWN.has(language) ? language : '';
}

/** The tree of a code's tokens, or null while there is none. */
export function tree(code, language) {
  if (!language || code.length > LONGEST) return null;
  if (!lowlight?.registered(language)) {
    bring(language);
    return null;
  }
  return lowlight.highlight(language, code).children;
}

/** Code as a template, coloured where its language is known. */
export function highlighted(code, name) {
  const language = languageOf(name);
  const key = `${language}\n${code}`;
  if (!language) return inert(code);
  if (!colours.has(key)) {
    const tokens = tree(code, language);
    if (!tokens) return inert(code);
    if (colours.size > 200) colours.clear();
    colours.set(key, tokens.map(node));
  }
  return colours.get(key);
}

/** The same, line by line, for a diff: a token that goes over several lines keeps its colour. */
export function highlightedLines(code, name) {
  const tokens = tree(code, languageOf(name));
  if (!tokens) return code.split('\n').map((line) => inert(line));
  const lines = [[]];
  const walk = (each, names) => {
    if (each.type !== 'text') {
      for (const child of each.children) walk(child, [...names, ...(each.properties.className ?? [])]);
      return;
    }
    each.value.split('\n').forEach((part, index) => {
      if (index) lines.push([]);
      if (part) lines.at(-1).push({text: part, names});
    });
  };
  for (const each of tokens) walk(each, []);
  return lines.map((parts) => parts.map(({text, names}) => (names.length ? html`<span class=${names.join(' ')}>${inert(text)}</span>` : inert(text))));
}
