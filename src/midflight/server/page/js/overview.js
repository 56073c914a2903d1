// The overview: what waits first, oldest first; then what runs, then what ended since you looked.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {repeat} from '../vendor/lit-html/directives/repeat.js';
import {mayTell, tellMe, tellHint} from './away.js';
import {exactLine} from './inert.js';
import {branches} from './lists.js';
import {startForm} from './new.js';
import {requestCard, requestTeaser, settledLine} from './request.js';
import {all, atRest, childrenOf, runningNow, seenUpTo, state, waiting} from './store.js';
import {count, folderName} from './words.js';

const STAYS_MS = 3000;
const NEW_AT_MOST = 20;
let pointed = false; // nothing moves under the pointer

export function isPointed() {
  return pointed;
}

/** What stands in the list: the requests, and those just settled in the places where they were. */
function cards() {
  const now = Date.now();
  const settled = [];
  for (const [id, entry] of state.settled) {
    if (!entry.resolved) continue;
    entry.leaveAt = pointed ? now + STAYS_MS : entry.leaveAt ?? now + STAYS_MS;
    if (entry.leaveAt < now) state.settled.delete(id);
    else settled.push(entry);
  }
  const rows = waiting().map((entry) => ({...entry, id: entry.request.request, time: entry.request.time}));
  for (const entry of settled) rows.push({id: entry.request.request, time: entry.request.time, entry});
  return rows.sort((a, b) => a.time - b.time);
}

export const phone = matchMedia('(max-width: 599px)');

/** The id of the request that keys mean; a settled one gives way to the next. */
let chosen = '';

export function chosenRequest() {
  const open = waiting();
  return open.find((entry) => entry.request.request === chosen) ?? open[0] ?? null;
}

export function move(step) {
  const open = waiting();
  if (!open.length) return;
  const at = open.findIndex((entry) => entry.request.request === chosen);
  chosen = open[Math.max(0, Math.min(open.length - 1, (at < 0 ? 0 : at) + step))].request.request;
  requestAnimationFrame(() => document.querySelector('.request.chosen')?.scrollIntoView({block: 'nearest'}));
}

export function overview() {
  if (state.loaded && !all().length) return html`<main class="narrow"><h1>No sessions yet</h1><p class="ink2">Say what an agent should do. You can change its course while it works.</p>${startForm(true)}<p class="small ink2">Or in a terminal: <code>midflight "task"</code>. It shows up here by itself.</p></main>`;
  const rows = cards();
  const open = rows.filter((row) => !row.entry).length;
  const running = runningNow().filter((one) => !one.pending.length || childrenOf(one).length); // what waits stands at the left
  const rest = atRest();
  const fresh = rest.filter((one) => one.outcome && one.info.seq > seenUpTo(one.id)).slice(0, NEW_AT_MOST);
  const key = chosenRequest()?.request.request;
  return html`<main class="overview"><h1 class="hidden">Overview</h1>
    <section aria-label="Waits for you" @pointerenter=${() => (pointed = !phone.matches)} @pointerleave=${() => (pointed = false)}>
      <h2 class="row head"><span>Waits for you</span><span class="count ${open ? 'waits' : ''}">${open}</span><span class="grow"></span>${open ? html`<span class="small ink2">oldest first</span>` : nothing}</h2>
      <div class="stack gap12">${rows.length ? repeat(rows, (row) => row.id, (row) => (row.entry
        ? settledLine(row.entry, state.sessions.get(row.entry.session))
        : phone.matches ? requestTeaser(row) : requestCard(row, {keys: row.id === key, chosen: row.id === key && open > 1}))) : nothingWaits()}</div>
    </section>
    <section aria-label="Running and done">
      <h2 class="row head"><span>Running</span><span class="count">${running.length}</span><span class="grow"></span><span class="small ink2">time · cost</span></h2>
      ${running.length ? html`<div class="card pad">${branches(running)}</div>` : html`<p class="ink2">Nothing runs.</p>`}
      ${fresh.length ? html`<h2 class="row head">Done since you looked<span class="count">${fresh.length}</span></h2><div class="card pad">${branches(fresh)}</div>` : nothing}
      <p class="small ink2 head"><a href="#/sessions">${count(rest.length - fresh.length, 'more', 'more')} at rest</a></p>
    </section></main>`;
}

function nothingWaits() {
  return html`<div class="card empty stack"><b>Nothing waits for you</b><span class="ink2">When an agent asks something it stands here, and in the title of this tab.</span>${mayTell() ? html`<span><button class="low" @click=${tellMe}>Tell me on this device</button></span>` : html`<span class="small ink2">${tellHint()}</span>`}</div>`;
}

/** All sessions, by folder, filtered by what was typed. */
export function sessionList(filter) {
  const wanted = filter.trim().toLowerCase();
  const fits = all().filter((one) => !wanted || `${one.info.name} ${one.info.cwd} ${one.info.agent} ${one.info.last}`.toLowerCase().includes(wanted));
  const folders = Map.groupBy ? Map.groupBy(fits, (one) => one.info.cwd) : fits.reduce((map, one) => map.set(one.info.cwd, [...(map.get(one.info.cwd) ?? []), one]), new Map());
  const newest = (list) => Math.max(...list.map((one) => one.info.updated));
  const sorted = [...folders].sort(([, a], [, b]) => newest(b) - newest(a));
  return html`<main class="narrow wide"><h1>Sessions</h1>${fits.length ? sorted.map(([cwd, list]) => html`<section><h2 class="row head"><span>${exactLine(folderName(cwd))}</span><code class="ink3 cut">${exactLine(cwd)}</code></h2><div class="card pad">${branches(list.filter((one) => !list.some((each) => each.id === one.info.parent)).sort((a, b) => b.info.updated - a.info.updated))}</div></section>`) : html`<p class="ink2">${wanted ? `Nothing matches “${filter}”.` : 'No sessions yet.'}</p>`}</main>`;
}
