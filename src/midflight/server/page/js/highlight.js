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
    fold('colours', {});
  } catch {
    // Without colours the code can be read as well.
  }
}

function node(each) {
  if (each.type === 'text') return inert(each.value);
  return html`<span class=${(each.properties.className ?? []).join(' ')}>${each.children.map(node)}</span>`;
}

/** The language that a name, or the name of a file, tells; nothing where it tells none. */
function languageOf(name) {
  const word = String(name ?? '').trim().toLowerCase().split(/[\s{]/)[0].split('.').at(-1);
  const language = NAMES[word] ?? word;
  return KNOWN.has(language) ? language : '';
}

const trees = new Map(); // of what was coloured lately: it is painted again and again

/** The tree of a code's tokens, or null while there is none. */
function tree(code, name) {
  const language = languageOf(name);
  if (!language || code.length > LONGEST) return null;
  if (!lowlight?.registered(language)) {
    bring(language);
    return null;
  }
  const key = `${language}\n${code}`;
  if (!trees.has(key)) {
    if (trees.size > 200) trees.clear();
    trees.set(key, lowlight.highlight(language, code).children);
  }
  return trees.get(key);
}

/** Code as a template, coloured where its language is known. */
export function highlighted(code, name) {
  return tree(code, name)?.map(node) ?? inert(code);
}

/** The same, line by line, for a diff: a token that goes over several lines keeps its colour. */
export function highlightedLines(code, name) {
  const tokens = tree(code, name);
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
