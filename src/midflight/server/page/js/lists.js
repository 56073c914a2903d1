// Sessions as lines: in the overview, in the rail, in the list of all.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {repeat} from '../vendor/lit-html/directives/repeat.js';
import {asks} from './effects.js';
import {exactLine, inert} from './inert.js';
import {mark} from './marks.js';
import {childrenOf, seenUpTo} from './store.js';
import {sessionLink} from './ui.js';
import {age, clock, count, dollars, folderName, running} from './words.js';

function now() {
  return Date.now() / 1000;
}

/** What a session does, in a few words. */
export function doing(summary) {
  if (summary.pending.length) return asks(summary.pending[0]);
  if (summary.heldUntil && !summary.runs) return `usage limit: goes on at ${clock(summary.heldUntil)}, by itself`;
  const children = childrenOf(summary);
  if (summary.runs && children.some((one) => one.runs) && !summary.isCall) return `drives ${count(children.length, 'session')}`;
  if (summary.runs) return summary.doing;
  const end = summary.outcome;
  if (end?.status === 'completed') return `done: ${summary.doing}`;
  return summary.doing;
}

function since(summary) {
  if (summary.pending.length) return age(now() - summary.pending[0].time);
  if (summary.runs) return summary.turnSince === null ? '' : running(now() - summary.turnSince);
  return age(now() - (summary.endedAt ?? summary.info.updated));
}

/** US dollars of a session, with its limit where it has one. */
export function cost(summary) {
  const {total_cost_usd: usd, limits} = summary.info;
  const text = dollars(usd, summary.estimated);
  return limits.max_budget_usd && summary.runs ? `${text} of $${limits.max_budget_usd}` : text;
}

/** One session as a line; `lean` leaves out folder and cost, as the rail does. */
export function line(summary, {lean = false, chosen = false} = {}) {
  const seen = seenUpTo(summary.id);
  const fresh = !summary.runs && summary.outcome && summary.info.seq > seen;
  return html`<a class="line-of ${chosen ? 'chosen' : ''}" href=${sessionLink(summary)} aria-current=${chosen ? 'page' : 'false'}>${mark(summary.state(seen))}
    <span class="grow"><span class="row"><span class="strong cut">${exactLine(summary.info.name)}</span>${lean ? nothing : html`<span class="small ink2 cut">${exactLine(folderName(summary.info.cwd))}</span>`}</span>
      <span class="what cut ${summary.isCall && summary.runs ? 'mono' : ''}">${fresh ? html`<b class="done">new</b> · ` : nothing}${inert(doing(summary))}</span></span>
    <span class="figures">${since(summary)}${lean ? nothing : html`<br>${cost(summary)}`}</span></a>`;
}

/** A session with those that it has begun below it. */
export function branch(summary, options = {}) {
  const children = childrenOf(summary);
  return html`${line(summary, {...options, chosen: options.open === summary.id})}${children.length ? html`<ul class="tree">${repeat(children, (one) => one.id, (one) => html`<li>${branch(one, options)}</li>`)}</ul>` : nothing}`;
}

export function branches(summaries, options = {}) {
  return html`<ul class="plain">${repeat(summaries, (one) => one.id, (one) => html`<li>${branch(one, options)}</li>`)}</ul>`;
}
