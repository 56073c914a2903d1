// What a call will do, exactly and in full: nothing of it is shortened, ever.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {ref} from '../vendor/lit-html/directives/ref.js';
import {filesOf, unified} from './difftext.js';
import {exact, exactLine, hiddenIn} from './inert.js';
import {icon} from './marks.js';
import {note, notes} from './ui.js';
import {below, count} from './words.js';

/** The question in words. */
export function question(request, cwd) {
  const [effect, ...more] = request.effects ?? [];
  if (!effect || more.length) return html`Use ${exactLine(request.name)}?`;
  switch (effect.type) {
    case 'command': return 'Run a command?';
    case 'edit': return isOutside(effect, cwd) ? 'Edit a file outside its folder?' : 'Edit a file?';
    case 'read': return isOutside(effect, cwd) ? 'Read outside its folder?' : 'Read a file?';
    case 'fetch': return html`Fetch from ${exactLine(hostOf(effect.url))}?`;
    default: return html`Use ${exactLine(request.name)}? midflight does not know what it does`;
  }
}

/** The same in a few words, for lists and notifications: never what is in it. */
export function asks(request) {
  if (request.type === 'question.requested') return 'asks a question';
  const [effect, ...more] = request.effects ?? [];
  if (!effect || more.length) return 'asks: use a tool';
  return {command: 'asks: run a command', edit: 'asks: edit a file', read: 'asks: read a file', fetch: 'asks: fetch an address'}[effect.type] ?? 'asks: use a tool';
}

function hostOf(url) {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

function isOutside(effect, cwd) {
  const path = effect.target ?? effect.path;
  return Boolean(cwd) && path !== cwd && !path.startsWith(`${cwd}/`);
}

/** What is wrong with a command line's looks: its characters without a visible form. */
function hidden(text) {
  const number = hiddenIn(text);
  return number ? html`<span class="fail">${count(number, 'invisible character')} shown as U+…</span>` : nothing;
}

function copy(text) {
  const press = async (event) => {
    const button = event.currentTarget;
    await navigator.clipboard?.writeText(text);
    button.textContent = 'Copied';
  };
  return html`<button class="link" @click=${press}>Copy</button>`;
}

const MOST_WORDS = 500; // of a longer line the browser chooses where to break it

/** A line of a command breaks at its spaces, and within a word only where that has no room. */
export function words(line) {
  const whole = exact(line);
  const parts = line.split(/( +)/);
  if (typeof whole !== 'string' || parts.length > MOST_WORDS) return whole;
  return parts.map((part) => (part.trim() ? html`<span class="word">${exact(part)}</span>` : exact(part)));
}

function command(effect, end) {
  const lines = effect.command.split('\n');
  const numbered = lines.length > 1;
  const rows = lines.map((line, index) => html`${numbered ? html`<span class="number" aria-hidden="true">${index + 1}</span>` : nothing}<code class="line">${words(line)}</code>`);
  return html`
    <header>${icon('command')}<span class="grow"><span class="ink2">runs in </span><code>${effect.cwd ? exactLine(effect.cwd) : 'a folder that the agent does not tell'}</code></span></header>
    <div class="body command ${numbered ? 'numbered' : ''}" tabindex="0">${rows}${end}</div>
    <footer><span class="grow">${numbered ? count(lines.length, 'line') : '1 command'}, whole text ${hidden(effect.command)}</span>${copy(effect.command)}</footer>`;
}

function leads(effect, cwd) {
  const outside = isOutside(effect, cwd);
  if (effect.target) {
    return html`<div class="leads">${icon('leads')}<span><b>It is a link.</b> What ${effect.type === 'edit' ? 'changes' : 'is read'} is <code>${exactLine(effect.target)}</code>${outside ? html`, outside <code>${exactLine(cwd)}</code>` : nothing}.</span></div>`;
  }
  return outside ? html`<div class="leads">${icon('leads')}<span>It is outside <code>${exactLine(cwd)}</code>.</span></div>` : nothing;
}

function edit(effect, cwd, end) {
  const [file = {plus: 0, minus: 0, hunks: [], loose: []}] = filesOf(effect);
  const cut = effect.shown_lines < effect.lines;
  return html`
    <header>${icon('edit')}<code class="grow">${exactLine(below(effect.path, cwd))}</code><span><span class="plus">+${file.plus}</span> <span class="minus">−${file.minus}</span></span></header>
    ${leads(effect, cwd)}
    ${effect.protected ? html`<div class="leads">${icon('shield')}<span><b>This file decides what may run next time.</b></span></div>` : nothing}
    <div class="body" tabindex="0">${file.loose.map((line) => html`<pre class="below">${exact(line)}</pre>`)}${unified(file)}${end}</div>
    ${cut ? html`<footer class="wait"><b>Only ${effect.shown_lines.toLocaleString('en')} of ${count(effect.lines, 'line')} are shown.</b></footer>` : nothing}`;
}

function raw(input, end) {
  const text = JSON.stringify(input, null, 2) ?? '';
  return html`<header>${icon('tool')}<span class="grow ink2">what the tool gets, as it is</span></header><div class="body command" tabindex="0"><pre>${exact(text)}</pre>${end}</div>`;
}

function one(effect, cwd, end) {
  switch (effect.type) {
    case 'command': return command(effect, end);
    case 'edit': return edit(effect, cwd, end);
    case 'read': return html`<header>${icon('file')}<code class="grow">${exactLine(effect.path)}</code></header>${leads(effect, cwd)}${end}`;
    case 'fetch': return html`<header>${icon('globe')}<code class="grow">${exactLine(effect.url)}</code></header>${end}`;
    default: return raw(effect.input ?? effect, end);
  }
}

function shownEffects(request) {
  return request.effects?.length ? request.effects : [{type: 'other', input: request.input}];
}

/** All that a request would do. It notes in the request's notes whether its end was on the screen. */
export function effects(request, cwd) {
  const list = shownEffects(request);
  return list.map((effect, index) => html`<div class="effect" role="group" aria-label=${list.length > 1 ? `Effect ${index + 1} of ${list.length}` : 'What it will do'}>${list.length > 1 ? html`<div class="below strong">${index + 1} of ${list.length}</div>` : nothing}${one(effect, cwd, endOf(request.request, index))}</div>`);
}

const observer = new IntersectionObserver((entries) => {
  for (const {isIntersecting, target} of entries) {
    const {end, index} = target.dataset;
    if (isIntersecting && !notes(`read ${end}`)[index]) note(`read ${end}`, {[index]: true});
  }
});

/** The end of an effect: once it has been on the screen, the effect counts as read. */
function watchEnd(element) {
  if (element) observer.observe(element);
}

function endOf(id, index) {
  return html`<div class="end" data-end=${id} data-index=${index} ${ref(watchEnd)}></div>`;
}

/** Whether all of a request has been on the screen. */
export function isRead(request) {
  const known = notes(`read ${request.request}`);
  return shownEffects(request).every((_, index) => known[index] === true);
}

/** How many lines it has, for the button that allows them all. */
export function linesOf(request) {
  return (request.effects ?? []).reduce((sum, effect) => sum + (effect.command ?? effect.diff ?? '').split('\n').length, 0);
}
