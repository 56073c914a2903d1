// The screen of one session: its stream, what it asks, its queue, and the box.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {guard} from '../vendor/lit-html/directives/guard.js';
import {repeat} from '../vendor/lit-html/directives/repeat.js';
import {blockList} from './blocks.js';
import {changesScreen, counts, look} from './changes.js';
import {beginFind, endFind, findBar} from './find.js';
import {exactLine, inert} from './inert.js';
import {branches} from './lists.js';
import {icon, logo, mark, WORDS} from './marks.js';
import {phone} from './overview.js';
import {inSight, scrolled, showNewer, showOlder, toEnd} from './reading.js';
import {requestCard} from './request.js';
import {putBack, queue, sendBox, stop} from './sendbox.js';
import {side} from './side.js';
import {atRest, looksOfAll, markSeen, runningNow, seenUpTo, shown, state, waiting} from './store.js';
import {note, notes, place, sessionLink} from './ui.js';
import {agentName, count, dollars, folderName, running} from './words.js';

function backToEnd(summary) {
  endFind(summary);
  toEnd();
}

export function rail(openId) {
  const open = waiting();
  const asking = [...new Map(open.map((entry) => [entry.summary.id, entry.summary])).values()];
  const busy = runningNow().filter((one) => !asking.includes(one));
  const rest = atRest().slice(0, 30);
  const part = (title, list) => (list.length ? html`<h2 class="part">${title}</h2>${branches(list, {lean: true, open: openId})}` : nothing);
  return html`<nav class="rail" aria-label="Sessions"><div class="row"><a class="brand grow" href="#/">${logo()} midflight</a><a class="button quiet square" href="#/new" aria-label="New session" title="New session">${icon('plus')}</a></div>
    <a class="line-of" href="#/">${icon('inbox')}<span class="grow strong">Overview</span>${open.length ? html`<span class="count waits">${open.length}</span>` : nothing}</a>
    ${part('Waits for you', asking)}${part('Running', busy)}${part('At rest', rest)}</nav>`;
}

function header(summary, part) {
  const {info} = summary;
  const is = summary.state(seenUpTo(summary.id));
  const changes = counts(summary);
  const menu = notes('menu');
  return html`<header class="bar-of-session"><a class="button quiet square back" href="#/" aria-label="Back to the overview">${icon('back')}</a>
    <span class="grow"><span class="row"><h1 class="cut">${exactLine(info.name)}</h1><span class="state ${is === 'waits' ? 'asks' : ''}">${mark(is)}<span class="word">${WORDS[is]}</span></span></span>
      <span class="small ink2 cut lean">${exactLine(folderName(info.cwd))} · ${exactLine(agentName(info.agent))}${info.model ? html`, ${exactLine(info.model)}` : nothing}${summary.runs && summary.turnSince !== null ? ` · ${running(Date.now() / 1000 - summary.turnSince)}` : ''} · ${dollars(info.total_cost_usd, summary.estimated)}</span></span>
    <a class="button quiet tab" aria-current=${part === '' ? 'page' : 'false'} href=${sessionLink(summary)}>${icon('talk')}<span class="word">Session</span></a>
    <a class="button quiet tab" aria-current=${part === 'diff' ? 'page' : 'false'} href=${sessionLink(summary, 'diff')}>${icon('file')}<span class="word">Diff</span>${changes ? html`<span>${changes.files}</span> <span class="plus">+${changes.plus}</span><span class="minus">−${changes.minus}</span>` : nothing}</a>
    ${part === '' ? html`<button class="quiet square find-button" aria-label="Search in this session" title="Search in this session (Ctrl F)" @click=${() => beginFind(summary)}>${icon('search')}</button>` : nothing}
    <button class="quiet square drawer-button" aria-label="Limits, plan and more" aria-expanded=${Boolean(menu.side)} @click=${() => note('menu', {side: !menu.side})}>${icon('more')}</button>
    ${summary.runs ? html`<button class="stop" @click=${() => stop(summary, state.open?.conversation)}><svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" rx="2" fill="currentcolor"/></svg>Stop<kbd>s</kbd></button>` : nothing}</header>`;
}

function streamOf(summary, request, sight) {
  const context = {cwd: summary.info.cwd, putBack: (text) => putBack(summary, text)};
  const {open} = state;
  const {conversation, loadingMore} = shown();
  return html`<div class="stream" tabindex="0" role="log" aria-label="What happened" aria-busy=${String(open.loading || !open.isLive)} @scroll=${scrolled}><div class="column">
    ${sight.older ? html`<p class="center"><button class="low" @click=${showOlder}>${loadingMore ? 'Fetches…' : 'Show what was before'}</button></p>` : nothing}
    ${open.loading && !conversation.blocks.length ? html`<p class="ink2" aria-busy="true">Fetches what happened…</p>` : nothing}
    ${blockList(sight.lines, context)}
    ${sight.newer ? html`<p class="center newer"><button class="low" @click=${showNewer}>${loadingMore ? 'Fetches…' : 'Show what came after'}</button></p>` : nothing}
    ${summary.runs && !sight.newer && !conversation.live.size && !request ? html`<p class="fact">${mark(summary.retry ? 'retry' : 'running')}<span>Works: ${inert(summary.doing)}</span></p>` : nothing}</div></div>`;
}

/** The request that stands above the box: the one of the link, else the oldest. */
export function requestHere(summary) {
  const wanted = place().request;
  const {at = ''} = notes(`asked ${summary.id}`);
  return summary.pending.find((one) => one.request === at) ?? summary.pending.find((one) => one.request === wanted) ?? summary.pending[0] ?? null;
}

export function step(summary, by) {
  const list = summary.pending;
  const at = list.indexOf(requestHere(summary));
  const next = list[Math.max(0, Math.min(list.length - 1, at + by))];
  if (next) note(`asked ${summary.id}`, {at: next.request});
}

function ofHowMany(summary, request) {
  const {pending} = summary;
  return pending.length > 1 ? `${pending.indexOf(request) + 1} of ${pending.length}` : '';
}

export function sessionScreen(summary, part) {
  markSeen(summary);
  const conversation = state.open?.id === summary.id ? state.open.conversation : null;
  const request = requestHere(summary);
  const {side: drawer} = notes('menu');
  if (!conversation) return nothing;
  if (summary.runs) summary.turnSince ??= conversation.turn?.since ?? null;
  look(summary);
  const sight = part === 'diff' ? null : inSight();
  const still = (paint) => guard([looksOfAll(), summary, part], paint); // while only text streams
  return html`${still(() => rail(summary.id))}<div class="middle">${still(() => header(summary, part))}
    ${part === 'diff' ? changesScreen(summary) : html`<main class="conversation">${findBar(summary)}${streamOf(summary, request, sight)}
      ${sight.follow ? nothing : html`<button class="pill" @click=${() => backToEnd(summary)}>${sight.missed ? `${sight.missed} new` : 'To the end'}${summary.pending.length ? `, ${count(summary.pending.length, 'request')}` : ''} ↓</button>`}
      <div class="below-stream"><div class="column stack">${still(() => html`
        ${repeat(request ? [request] : [], (one) => one.request, (one) => requestCard({summary, request: one}, {named: false, keys: !phone.matches, position: ofHowMany(summary, one)}))}
        ${queue(summary, conversation)}${sendBox(summary, conversation)}`)}</div></div></main>`}</div>
    <aside class="side ${drawer ? 'open' : ''}" aria-label="Limits, plan and more">${part === '' ? html`<button class="find-in-drawer" @click=${() => { note('menu', {side: false}); beginFind(summary); }}>${icon('search')}Search in this session</button>` : nothing}${still(() => side(summary, conversation))}</aside>`;
}
