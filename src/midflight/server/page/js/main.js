// The page: which screen stands where, painted once for each frame in which something has changed.

import {html, nothing, render} from '../vendor/lit-html/lit-html.js';
import {live} from '../vendor/lit-html/directives/live.js';
import {beginWorker, showCount} from './away.js';
import {beginKeys, keysHelp, lookAtMeant} from './keys.js';
import {door, enter} from './login.js';
import {icon, logo} from './marks.js';
import {newSession} from './new.js';
import {isPointed, overview, phone, sessionList} from './overview.js';
import {keepPlaces} from './placement.js';
import {afterPaint} from './reading.js';
import {sessionScreen} from './session.js';
import {all, begin, changed, closeSession, isLost, named, nextTryInS, onChange, openSession, state, today, tryNow, waiting} from './store.js';
import {go, note, notes, place} from './ui.js';
import {sessionPath} from './paths.js';
import {clock, dollars} from './words.js';

const BACK_MS = 2000;
const LONG_S = 30; // so long a server takes that is started anew
let wasLost = false;
let backUntil = 0;

function isLong() {
  return Date.now() / 1000 - state.lostSince > LONG_S;
}

/** Says that there is no connection, and for a moment that there is one again. */
function banner() {
  if (isLost()) {
    wasLost = true;
    return html`<div class="banner" role="status"><span class="grow"><b>No connection since ${clock(state.lostSince, true)}.</b> What you see may be old. Sessions go on without this page. Next try in ${nextTryInS()} s.${isLong() ? html` If midflight serve runs on another port now, open the link that it wrote: this page looks for it here.` : nothing}</span><button class="low" @click=${tryNow}>Try now</button></div>`;
  }
  if (wasLost) {
    wasLost = false;
    backUntil = Date.now() + BACK_MS;
    setTimeout(changed, BACK_MS);
  }
  return backUntil > Date.now() ? html`<div class="banner" role="status">Up to date.</div>` : nothing;
}

function find(event) {
  if (event.key === 'Escape') event.target.blur();
  if (event.key !== 'Enter') return;
  const text = notes('find').text?.trim().toLowerCase();
  const fits = all().filter((one) => one.info.name.toLowerCase().includes(text));
  const exact = fits.find((one) => one.info.name.toLowerCase() === text);
  note('find', {text: ''});
  event.target.blur();
  go(exact ?? (fits.length === 1 ? fits[0] : null) ? sessionPath(exact ?? fits[0]) : 'sessions');
  if (!exact && fits.length !== 1) note('find', {text});
}

function top(screen) {
  const open = new Set(waiting().map((entry) => entry.summary.id)).size;
  const spent = today();
  const {text = ''} = notes('find');
  return html`<header class="top"><a class="brand" href="#/">${logo()} <span>midflight</span></a>
    <nav class="row tabs" aria-label="Screens"><a class="button quiet" aria-current=${screen === '' ? 'page' : 'false'} href="#/">Overview ${open ? html`<span class="count waits">${open}</span>` : nothing}</a><a class="button quiet" aria-current=${screen === 'sessions' ? 'page' : 'false'} href="#/sessions">Sessions <span class="ink2">${all().length}</span></a></nav>
    <div class="find"><label class="hidden" for="find">Go to a session or folder</label>${icon('search')}<input id="find" type="search" placeholder=${phone.matches ? 'Go to…' : 'Go to a session or folder'} autocomplete="off" .value=${live(text)} @input=${(event) => { note('find', {text: event.target.value}); if (place().screen !== 'sessions') go('sessions'); }} @keydown=${find}><kbd>/</kbd></div>
    <span class="ink2 spent">today ${dollars(spent.usd, spent.about)}</span>
    <button class="quiet help" @click=${() => note('keys', {open: !notes('keys').open})}><kbd>?</kbd> Keys</button>
    <a class="button act new-button" href="#/new">${icon('plus')} New session</a></header>`;
}

function tabs(screen) {
  const open = new Set(waiting().map((entry) => entry.summary.id)).size;
  const tab = (to, name, word, badge = nothing) => html`<a href="#/${to}" aria-current=${screen === to ? 'page' : 'false'}><span class="row">${icon(name)}${badge}</span>${word}</a>`;
  return html`<nav class="phone-tabs" aria-label="Screens">${tab('', 'inbox', 'Overview', open ? html`<span class="count waits">${open}</span>` : nothing)}${tab('sessions', 'tree', 'Sessions')}${tab('new', 'plus', 'New')}</nav>`;
}

function screenOf({screen, name, part}) {
  if (!state.loaded) return html`<main class="narrow" aria-busy="true"><p class="ink2">Asks the server…</p></main>`;
  if (screen === 's') {
    const summary = named(name);
    if (!summary) return html`${top(screen)}<main class="narrow"><h1>No such session</h1><p>It may have been removed. <a href="#/sessions">All sessions</a></p></main>`;
    openSession(summary.id);
    return html`<div class="session-screen ${part === 'diff' ? 'diffs' : ''}">${sessionScreen(summary, part)}</div>`;
  }
  const inside = screen === 'sessions' ? sessionList(notes('find').text ?? '') : screen === 'new' ? newSession() : overview();
  return html`${top(screen)}${inside}${tabs(screen)}`;
}

function paint() {
  const at = place();
  if (at.screen !== 's') closeSession();
  const page = document.getElementById('page');
  if (state.withdrawn || !notes('login').in) {
    render(door(start), page);
    return;
  }
  lookAtMeant();
  render(html`${banner()}${screenOf(at)}${keysHelp()}`, page);
  afterPaint();
  keepPlaces(isPointed());
  showCount();
}

function start() {
  notes('login').in = true;
  begin();
  changed();
}

onChange(paint);
addEventListener('hashchange', async () => {
  if (location.hash.startsWith('#code=') && await enter() && !notes('login').in) start();
  changed();
  requestAnimationFrame(() => document.querySelector('main')?.querySelector('h1, [tabindex]')?.scrollIntoView({block: 'nearest'}));
});
beginKeys();
beginWorker();
if (await enter()) start();
else changed();
