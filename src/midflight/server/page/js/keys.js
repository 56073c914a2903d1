// The keyboard: single letters act where no field has the focus, and never on what just appeared.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {beginFind, endFind} from './find.js';
import {chosenRequest, move} from './overview.js';
import {isMeant, noteMeant} from './placement.js';
import {allow, allowForSession, beginDeny, beginEdit, choose, UNREAD_MS} from './request.js';
import {requestHere, step} from './session.js';
import {chooseWay, stop} from './sendbox.js';
import {atRest, named, runningNow, state, waiting} from './store.js';
import {go, note, notes, place} from './ui.js';
import {sessionPath} from './paths.js';

const ROWS = [
  ['j k', 'move'], ['Enter', 'open'], ['y a n e', 'allow, allow for this session, deny, edit'], ['1 … 9', 'choose an answer'],
  ['m u r', 'message: steer, queue, redirect'], ['s', 'stop the turn'], ['w', 'the next that waits'], ['d', 'diff'], ['c', 'new session'],
  ['/', 'go to a session; in one: search in it'], ['g o', 'overview'], ['g s', 'sessions'], ['?', 'these keys'], ['Esc', 'leaves what is open; never stops anything'],
];

export function keysHelp() {
  const {open, off} = notes('keys', {off: localStorage.getItem('midflight.keys') === 'off'});
  if (!open) return nothing;
  const close = () => note('keys', {open: false});
  const toggle = (event) => {
    localStorage.setItem('midflight.keys', event.target.checked ? 'on' : 'off');
    note('keys', {off: !event.target.checked});
  };
  return html`<section class="card keys" role="dialog" aria-label="Keys"><div class="row"><h2 class="grow">Keys</h2><button class="quiet square" aria-label="Close" @click=${close}>×</button></div>
    <dl class="facts">${ROWS.map(([key, says]) => html`<dt>${key.split(' ').map((one) => (one === '…' ? ' … ' : html`<kbd>${one}</kbd> `))}</dt><dd>${says}</dd>`)}</dl>
    <label class="row"><input type="checkbox" .checked=${!off} @change=${toggle}>Single letters are keys</label></section>`;
}

function isField(element) {
  return element.closest('input, textarea, select, [contenteditable]') !== null;
}

/** The request that a letter means, with its session. */
function meant() {
  const at = place();
  if (at.screen !== 's') return at.screen === '' ? chosenRequest() : null;
  const summary = named(at.name);
  const request = summary && requestHere(summary);
  return request ? {summary, request} : null;
}

function next() {
  const {screen, name} = place();
  const list = waiting().map((entry) => entry.summary);
  const at = screen === 's' ? list.indexOf(named(name)) : -1;
  const other = list.slice(at + 1).find((one) => one !== list[at]) ?? list[0];
  if (other) go(sessionPath(other));
}

/** The session above or below the one that is open, in the order of the rail. */
function neighbour(by) {
  const list = [...new Set([...waiting().map((entry) => entry.summary), ...runningNow(), ...atRest()])];
  const at = list.indexOf(named(place().name));
  const other = list[at + by];
  if (other) go(sessionPath(other));
}

/** Before each paint: which request a letter means from now on. */
export function lookAtMeant() {
  noteMeant(meant()?.request.request ?? '');
}

// While one of these is open the person is about to say something: no letter means anything else.
const DRAFTS = '.request textarea, .comment textarea, .queue textarea';

let typedInto = null; // the field that had the last key, and when that was
let typedAt = 0;

/** Whether a key was meant for a field that has gone from under the typing hands. */
function isLeftOver(event) {
  if (isField(event.target)) {
    typedInto = event.target;
    typedAt = Date.now();
    return false;
  }
  if (typedInto === null || typedInto.isConnected || Date.now() - typedAt >= UNREAD_MS) return false;
  typedAt = Date.now();
  return true;
}

let begun = ''; // the first letter of a pair

/** The browser's own search sees only what is loaded; pressed again it is the browser's. */
function isFind(event) {
  const {screen, part} = place();
  return event.key === 'f' && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && screen === 's' && !part && !event.target.closest('.find-bar');
}

function press(event) {
  if (isFind(event) && named(place().name)) {
    event.preventDefault();
    beginFind(named(place().name));
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || isLeftOver(event)) return;
  if (event.key === 'Escape' && !isField(event.target)) {
    leave();
    return;
  }
  if (isField(event.target) || notes('keys').off || document.querySelector(DRAFTS)) return;
  const {screen, name, part} = place();
  const summary = screen === 's' ? named(name) : null;
  const found = meant();
  const entry = found && isMeant(found.request.request) ? found : null;
  const key = event.key === 'ArrowDown' && !event.target.closest('.stream') ? 'j' : event.key === 'ArrowUp' && !event.target.closest('.stream') ? 'k' : event.key;
  const pair = begun === 'g' ? `g${key}` : key;
  begun = pair === 'g' ? 'g' : '';
  const act = {
    j: () => (screen === '' ? move(1) : summary?.pending.length > 1 ? step(summary, 1) : summary && neighbour(1)),
    k: () => (screen === '' ? move(-1) : summary?.pending.length > 1 ? step(summary, -1) : summary && neighbour(-1)),
    Enter: () => screen === '' && found && event.target === document.body && go(sessionPath(found.summary)),
    y: () => entry && allow(entry.summary, entry.request),
    a: () => entry && allowForSession(entry.summary, entry.request),
    n: () => entry && beginDeny(entry.request),
    e: () => entry && beginEdit(entry.request),
    m: () => summary && chooseWay(summary, 'steer'),
    u: () => summary && chooseWay(summary, 'queue'),
    r: () => summary && chooseWay(summary, 'redirect'),
    s: () => summary && stop(summary, state.open?.conversation),
    w: next,
    d: () => summary && go(`${sessionPath(summary)}${part === 'diff' ? '' : '/diff'}`),
    c: () => go('new'),
    '/': () => (summary && !part ? beginFind(summary) : document.getElementById('find')?.focus()),
    go: () => go(''),
    gs: () => go('sessions'),
    '?': () => note('keys', {open: !notes('keys').open}),
  }[pair] ?? (/^[1-9]$/.test(pair) ? () => entry && choose(entry.summary, entry.request, Number(pair)) : null);
  if (!act || (entry === null && 'yane'.includes(pair) && pair.length === 1)) return;
  event.preventDefault();
  act();
}

/** Leave what is open, from the inside out. */
function leave() {
  const summary = place().screen === 's' ? named(place().name) : null;
  if (notes('keys').open) note('keys', {open: false});
  else if (notes('menu').side) note('menu', {side: false});
  else if (summary && endFind(summary)) return;
  else if (place().part) go(place().screen + '/' + encodeURIComponent(place().name));
  else if (place().screen) go('');
}

export function beginKeys() {
  addEventListener('keydown', press);
}

