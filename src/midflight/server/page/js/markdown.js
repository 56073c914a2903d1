// Markdown of an agent as templates: the lexer of `marked` reads it, nothing of it becomes HTML.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {guard} from '../vendor/lit-html/directives/guard.js';
import {highlighted} from './highlight.js';
import {exactLine, inert, plain} from './inert.js';
import {tokensOf} from './lexed.js';
import {looks} from './ui.js';

const SAFE = /^(https?|mailto):/i;
const DEEP = 20; // lists in lists: nobody reads on there
const ENTITIES = {'&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'"};

function unescaped(text) {
  return text.replace(/&(?:amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity]);
}

/** A link says where it leads, and opens nothing but another tab. */
function link(token, deep) {
  const href = token.href ?? '';
  const inside = spans(token.tokens ?? [], deep);
  if (!SAFE.test(href)) return html`${inside}<span class="host"> (${exactLine(href)})</span>`;
  let host = href;
  try {
    host = new URL(href).host || href;
  } catch {
    return html`${inside}<span class="host"> (${exactLine(href)})</span>`;
  }
  const says = plain(token.text ?? '') === href ? nothing : html`<span class="host"> ${exactLine(host)}</span>`;
  return html`<a href=${href} target="_blank" rel="noopener noreferrer">${inside}</a>${says}`;
}

function span(token, deep) {
  switch (token.type) {
    case 'strong': return html`<strong>${spans(token.tokens, deep)}</strong>`;
    case 'em': return html`<em>${spans(token.tokens, deep)}</em>`;
    case 'del': return html`<del>${spans(token.tokens, deep)}</del>`;
    case 'codespan': return html`<code>${inert(token.text)}</code>`;
    case 'br': return html`<br>`;
    case 'link': return link(token, deep);
    case 'image': return html`<span class="host">image: ${inert(token.text)} ${exactLine(token.href ?? '')}</span>`;
    case 'escape': return inert(token.text);
    case 'text': return token.tokens ? spans(token.tokens, deep) : inert(unescaped(token.text));
    default: return inert(token.raw ?? '');
  }
}

function spans(tokens = [], deep = 0) {
  return deep > DEEP ? tokens.map((token) => inert(token.raw)) : tokens.map((token) => span(token, deep + 1));
}

function list(token, deep) {
  const items = token.items.map((item) => html`<li>${item.task ? html`<span>${item.checked ? '☑ ' : '☐ '}</span>` : nothing}${blocks(item.tokens, deep + 1)}</li>`);
  return token.ordered ? html`<ol start=${token.start || 1}>${items}</ol>` : html`<ul>${items}</ul>`;
}

function table(token, deep) {
  const cells = (row, tag) => row.map((cell) => (tag === 'th' ? html`<th>${spans(cell.tokens, deep)}</th>` : html`<td>${spans(cell.tokens, deep)}</td>`));
  return html`<table><thead><tr>${cells(token.header, 'th')}</tr></thead><tbody>${token.rows.map((row) => html`<tr>${cells(row, 'td')}</tr>`)}</tbody></table>`;
}

function block(token, deep) {
  switch (token.type) {
    case 'space': case 'def': return nothing;
    case 'heading': return html`<h4>${spans(token.tokens, deep)}</h4>`;
    case 'paragraph': return html`<p>${spans(token.tokens, deep)}</p>`;
    case 'text': return token.tokens ? spans(token.tokens, deep) : inert(unescaped(token.text));
    case 'code': return html`<pre tabindex="0"><code>${highlighted(token.text, token.lang)}</code></pre>`;
    case 'blockquote': return html`<blockquote>${blocks(token.tokens, deep + 1)}</blockquote>`;
    case 'list': return list(token, deep);
    case 'table': return table(token, deep);
    case 'hr': return html`<hr>`;
    default: return html`<p>${inert(token.raw ?? '')}</p>`;
  }
}

function blocks(tokens = [], deep = 0) {
  return deep > DEEP ? tokens.map((token) => inert(token.raw)) : tokens.map((token) => block(token, deep));
}

/** A part of a text; code that is not at its end has no colours yet, which would change with each word. */
function part(token, isOpen) {
  if (isOpen && token.type === 'code') return html`<pre tabindex="0"><code>${inert(token.text)}</code></pre>`;
  return block(token, 0);
}

/** The template of a block's text in Markdown: what is finished of it is read and painted once. */
export function markdown(block) {
  let tokens;
  try {
    tokens = tokensOf(block);
  } catch {
    return html`<p>${inert(block.text)}</p>`; // whatever the lexer cannot read is read as it stands
  }
  const last = block.live ? tokens.at(-1) : null;
  return tokens.map((token) => guard([token, looks()], () => part(token, token === last)));
}
