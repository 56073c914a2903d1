// A request: what will happen, and the answer. Every press has a visible end.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {live} from '../vendor/lit-html/directives/live.js';
import {ref} from '../vendor/lit-html/directives/ref.js';
import {repeat} from '../vendor/lit-html/directives/repeat.js';
import {asks, effects, isRead, linesOf, question, words} from './effects.js';
import {ask, command, deviceName, NoConnection, path} from './http.js';
import {exact, exactLine, inert} from './inert.js';
import {icon, mark} from './marks.js';
import {changed, decided, isLost, state} from './store.js';
import {forget, note, notes, sessionLink, takeFocus} from './ui.js';
import {age, agentName, because, below, by, clock, exactTime, folderName} from './words.js';

export const UNREAD_MS = 500; // what has just come is not what the person meant to press

function now() {
  return Date.now() / 1000;
}

/** Whether it has stood there for half a second: what was pressed before was meant for another. */
function stood(request) {
  const mine = notes(request.request);
  if (mine.shownAt === undefined) moved(request.request);
  return Date.now() - mine.shownAt >= UNREAD_MS;
}

/** A request that has come, or has another place now, is a new one to eye and finger. */
export function moved(id) {
  notes(id).shownAt = Date.now();
  changed();
  setTimeout(changed, UNREAD_MS + 10);
}

/** Whether a press means this request, and there is a server to take it. */
function ready(request) {
  return stood(request) && !isLost() && !notes(request.request).sending;
}

/** Send an answer; whether a press means it is looked at before. What was typed is meant. */
async function answer(summary, request, fields, word) {
  if (isLost() || notes(request.request).sending) return;
  note(request.request, {sending: word, problem: ''});
  decided(request, fields.decision ?? 'allow');
  try {
    await command(summary.id, {type: 'answer', request: request.request, ...fields});
    forget(`read ${request.request}`);
  } catch (error) {
    if (error.code === 'already_answered') return; // the events say who did
    if (error.code === 'conflict' && fields.input) { // it does something else than was read
      note(request.request, {sending: '', edited: undefined, editing: JSON.stringify(fields.input, null, 2), wrong: `Not allowed: ${error.message}.`});
      return;
    }
    const problem = error instanceof NoConnection
      ? 'No answer from the server. Whether it was taken is seen when the connection is back.'
      : `Not done: ${error.message}`;
    note(request.request, {sending: '', problem});
  }
}

/** Whether the person is about to say something else than yes: a denial's reason, another input. */
function isOtherwiseBusy(request) {
  const {denying, editing} = notes(request.request);
  return Boolean(denying) || editing !== undefined;
}

export function allow(summary, request) {
  if (request.type !== 'permission.requested' || !ready(request) || !isRead(asAllowed(request)) || isOtherwiseBusy(request)) return;
  const {edited} = notes(request.request);
  answer(summary, request, {decision: 'allow', ...(edited && {input: edited.input})}, 'Allowing…');
}

export function allowForSession(summary, request) {
  if (!request.rule || !ready(request) || !isRead(request) || isOtherwiseBusy(request) || notes(request.request).edited) return;
  answer(summary, request, {decision: 'allow', remember: 'session'}, 'Allowing…');
}

export function beginDeny(request) {
  if (ready(request)) note(request.request, {denying: true});
}

function deny(summary, request) {
  answer(summary, request, {decision: 'deny', reason: notes(request.request).reason ?? ''}, 'Denying…');
}

export function beginEdit(request) {
  if (request.type !== 'permission.requested' || !ready(request)) return;
  note(request.request, {editing: JSON.stringify(asAllowed(request).input, null, 2)});
}

/** Choose an option of the first open question, by its number. */
export function choose(summary, request, number) {
  if (request.type !== 'question.requested') return;
  const mine = notes(request.request);
  const open = request.questions.find((one) => !mine[`done ${one.question}`]) ?? request.questions.at(-1);
  const option = open?.options?.[number - 1];
  if (option && ready(request)) pick(summary, request, open, option.label);
}

function pick(summary, request, open, label) {
  const mine = notes(request.request);
  const key = `chosen ${open.question}`;
  const chosen = mine[key] ?? [];
  if (open.multiple) {
    note(request.request, {[key]: chosen.includes(label) ? chosen.filter((one) => one !== label) : [...chosen, label]});
    return;
  }
  note(request.request, {[key]: [label], [`done ${open.question}`]: true});
  if (request.questions.length === 1 && !mine[`own ${open.question}`]) sendAnswers(summary, request);
}

function sendAnswers(summary, request) {
  const mine = notes(request.request);
  const answers = {};
  for (const one of request.questions) {
    const own = (mine[`own ${one.question}`] ?? '').trim();
    const all = [...(mine[`chosen ${one.question}`] ?? []), ...(own ? [own] : [])];
    if (!all.length) return;
    answers[one.question] = one.multiple ? all : own || all[0];
  }
  answer(summary, request, {answers}, 'Sending…');
}

// The buttons --------------------------------------------------------------------------------

function denyField(summary, request) {
  const {reason = '', sending} = notes(request.request);
  const keys = (event) => {
    if (event.key === 'Escape') note(request.request, {denying: false});
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      deny(summary, request);
    }
  };
  return html`
    <label class="field ask">Why not? <span class="ink3">may stay empty</span>
      <textarea rows="2" ${ref(takeFocus)} .value=${live(reason)} @keydown=${keys} @input=${(event) => note(request.request, {reason: event.target.value})}></textarea></label>
    <p class="small ink2">The agent is told this reason and goes on with its turn.</p>
    <div class="buttons"><button class="act" ?disabled=${Boolean(sending) || isLost()} @click=${() => deny(summary, request)}>${sending || (reason.trim() ? 'Deny with this reason' : 'Deny')}</button>
      <button class="quiet" @click=${() => note(request.request, {denying: false})}>Back</button></div>`;
}

/** The request as it would be allowed: with the input that a person has given, and what that does. */
export function asAllowed(request) {
  const {edited} = notes(request.request);
  return edited ? {...request, request: `${request.request} edited ${edited.times}`, input: edited.input, effects: edited.effects} : request;
}

let times = 0; // each edit is read anew

/** Ask what the edited input would do: it can be allowed once that was read. */
async function lookAtEdit(summary, request) {
  const text = notes(request.request).editing; // what was typed last may not be painted
  let input;
  try {
    input = JSON.parse(text);
    if (input === null || typeof input !== 'object' || Array.isArray(input)) throw new Error('an object is needed');
  } catch (error) {
    note(request.request, {wrong: `That is not JSON: ${error.message}`});
    return;
  }
  note(request.request, {looking: true, wrong: ''});
  try {
    const {effects: found} = await ask('POST', path(summary.id, `/requests/${encodeURIComponent(request.request)}/effects`), {input});
    if (notes(request.request).editing === text) {
      times += 1;
      note(request.request, {edited: {input, effects: found, times}, editing: undefined});
      moved(request.request);
    }
  } catch (error) {
    note(request.request, {wrong: error instanceof NoConnection ? 'No answer from the server. Look at it again when the connection is back.' : error.message});
  } finally {
    note(request.request, {looking: false});
  }
}

function editField(summary, request) {
  const {editing, wrong = '', looking = false} = notes(request.request);
  return html`
    <label class="field ask">What the tool gets instead
      <textarea class="mono" rows="8" spellcheck="false" .value=${live(editing)} @input=${(event) => note(request.request, {editing: event.target.value})}></textarea></label>
    ${wrong ? html`<p class="fail">${inert(wrong)}</p>` : nothing}
    <div class="buttons"><button class="act" ?disabled=${looking || isLost()} @click=${() => lookAtEdit(summary, request)}>${looking ? 'Looking…' : 'Look at it'}</button><button class="quiet" @click=${() => note(request.request, {editing: undefined})}>Back</button></div>`;
}

function permissionButtons(summary, request, keys) {
  const {sending, problem, edited} = notes(request.request);
  const lost = isLost();
  const read = isRead(asAllowed(request));
  const early = String(!stood(request));
  const lines = linesOf(asAllowed(request));
  const word = sending === 'Allowing…' ? sending : lines > 20 ? `Allow all ${lines} lines` : 'Allow';
  const key = (letter) => (keys ? html`<kbd>${letter}</kbd>` : nothing);
  return html`<div class="buttons">
      <button class="act" aria-disabled=${early} ?disabled=${Boolean(sending) || lost || !read} @click=${() => allow(summary, request)}>${sending ? mark('running', '') : nothing}${word}${key('y')}</button>
      ${request.rule && !edited ? html`<button aria-disabled=${early} ?disabled=${Boolean(sending) || lost || !read} @click=${() => allowForSession(summary, request)}><span>Allow for this session: <span class="rule">${exactLine(request.rule)}</span></span>${key('a')}</button>` : nothing}
      <span class="apart"><button class="quiet" aria-disabled=${early} ?disabled=${Boolean(sending)} @click=${() => beginEdit(request)}>${request.effects?.[0]?.type === 'command' ? 'Edit the command…' : 'Edit its input…'}${key('e')}</button>
        <button aria-disabled=${early} ?disabled=${Boolean(sending) || lost} @click=${() => beginDeny(request)}>Deny…${key('n')}</button></span>
    </div>
    ${lost ? html`<p class="small ink2">Not while there is no connection. It may have been answered.</p>` : nothing}
    ${read ? nothing : html`<p class="small ink2">Read it to its end first: it scrolls.</p>`}
    ${problem ? html`<p class="fail" role="alert">${inert(problem)}</p>` : nothing}`;
}

function permission(summary, request, keys) {
  const mine = notes(request.request);
  const {cwd} = summary.info;
  const shown = asAllowed(request);
  return html`
    <h2 class="ask">${question(shown, cwd)}</h2>
    ${mine.edited ? html`<p class="small wait">You have changed what the tool gets. This is what it does now:</p>` : nothing}
    ${repeat([shown], (one) => one.request, (one) => effects(one, cwd))}
    ${request.reason ? html`<p class="said">The agent says: “${inert(request.reason)}”</p>` : nothing}
    ${mine.denying ? denyField(summary, request) : mine.editing !== undefined ? editField(summary, request) : permissionButtons(summary, request, keys)}`;
}

function questions(summary, request, keys) {
  const mine = notes(request.request);
  const lost = isLost();
  const single = request.questions.length === 1 && !request.questions[0].multiple;
  return html`${request.questions.map((one) => {
    const chosen = mine[`chosen ${one.question}`] ?? [];
    const own = mine[`own ${one.question}`] ?? '';
    return html`<h2 class="ask">${exact(one.question)}</h2>
      <div class="options">${one.options.map((option, index) => html`<button aria-pressed=${chosen.includes(option.label)} aria-disabled=${String(!stood(request))} ?disabled=${Boolean(mine.sending) || lost} @click=${() => ready(request) && pick(summary, request, one, option.label)}>${keys ? html`<kbd>${index + 1}</kbd>` : nothing}<span><span class="medium">${exact(option.label)}</span>${option.description ? html`<br><span class="ink2">${exact(option.description)}</span>` : nothing}</span></button>`)}</div>
      <label class="hidden" for="own ${request.request} ${one.question}">Your own words</label>
      <p class="ask"><input id="own ${request.request} ${one.question}" placeholder=${one.options.length ? 'Or answer in your own words' : 'Your answer'} .value=${live(own)} @input=${(event) => note(request.request, {[`own ${one.question}`]: event.target.value})} @keydown=${(event) => event.key === 'Enter' && !event.isComposing && sendAnswers(summary, request)}></p>`;
  })}
  <div class="buttons">${single && !Object.keys(mine).some((key) => key.startsWith('own ') && mine[key]) ? nothing : html`<button class="act" ?disabled=${Boolean(mine.sending) || lost} @click=${() => sendAnswers(summary, request)}>${mine.sending || 'Answer'}</button>`}
    <button class="quiet apart" ?disabled=${Boolean(mine.sending) || lost} @click=${() => ready(request) && answer(summary, request, {decision: 'deny'}, 'Denying…')}>Do not answer</button></div>
  ${mine.problem ? html`<p class="fail" role="alert">${inert(mine.problem)}</p>` : nothing}`;
}

/** The card of a request; `named` says of which session it is, `keys` that single letters answer it. */
export function requestCard({summary, request}, {named = true, keys = false, chosen = false, position = ''} = {}) {
  const {info} = summary;
  return html`<article class="card request open ${chosen ? 'chosen' : ''}" data-request=${request.request} aria-label="Request of ${info.name}">
    ${mark('waits')}
    <div class="row wrap"><span class="grow">${named ? html`<a class="strong" href=${sessionLink(summary)}>${exactLine(info.name)}</a> <span class="small ink2">${exactLine(folderName(info.cwd))} · ${exactLine(agentName(info.agent))}${info.model ? html`, ${exactLine(info.model)}` : nothing}</span>` : html`<span class="strong">${position || 'Waits for you'}</span>`}</span>
      <time class="wait medium" title=${exactTime(request.time)}>waits ${age(now() - request.time)}</time></div>
    ${request.type === 'permission.requested' ? permission(summary, request, keys) : questions(summary, request, keys)}
    ${request.deadline && state.open?.id !== summary.id ? html`<p class="small ink2 said-at">Without an answer it is denied at ${clock(request.deadline)}. While its session is open here it waits.</p>` : nothing}
  </article>`;
}

/** A card on a phone's list: enough to know what it is; its press leads to the whole of it. */
export function requestTeaser({summary, request}) {
  const [effect] = request.effects ?? [];
  const text = request.questions ? request.questions[0].question : effect?.command ?? effect?.path ?? effect?.url ?? '';
  const path = effect?.path ? below(text, summary.info.cwd) : text.split('\n')[0];
  const short = path.length > 90 || path !== text.trim() && !effect?.path ? `${path.slice(0, 90)}…` : path;
  return html`<a class="card request open line-of" href="${sessionLink(summary)}?request=${encodeURIComponent(request.request)}">${mark('waits')}
    <span class="grow"><span class="strong">${exactLine(summary.info.name)}</span><br><b>${request.questions ? exact(text) : question(request, summary.info.cwd)}</b><br>${request.questions ? nothing : html`<code class="ink2 command">${words(short)}</code>`}${effect?.target ? html`<br><span class="wait">${icon('leads')} leads to ${exactLine(effect.target)}</span>` : nothing}</span>
    <span class="wait medium">${age(now() - request.time)}</span></a>`;
}

// What is settled ----------------------------------------------------------------------------

const TURN_ENDED = new Set(['turn']);

/** How a request ended, in words: `{state, head, rest}`. */
export function settledWords({request, resolved, mine}) {
  const permitted = resolved.type === 'permission.resolved';
  const decision = permitted ? resolved.decision : Object.keys(resolved.answers ?? {}).length ? 'answered' : resolved.by === 'turn' ? 'cancelled' : 'deny';
  const at = clock(resolved.time, true);
  if (decision === 'cancelled' || TURN_ENDED.has(resolved.by)) return {state: 'ended', head: 'No longer asked', rest: `${because(resolved.reason || 'interrupted')}, ${at}`};
  const who = resolved.by === 'deadline' ? 'by the deadline: nobody answered'
    : resolved.by === 'policy' ? 'by a policy' : resolved.by === 'rule' ? `by rule ${resolved.rule}` : `by ${by(resolved.who, deviceName()) || 'a person'}`;
  const head = {allow: 'Allowed', deny: permitted ? 'Denied' : 'Not answered', answered: 'Answered'}[decision];
  const late = mine && permitted && mine !== decision;
  return {
    state: decision === 'deny' ? 'ended' : 'done',
    head: late ? `Your ${mine === 'allow' ? 'Allow' : 'Deny'} came second. ${head}` : head,
    rest: `${who}, ${at}${resolved.reason && decision === 'deny' ? `: ${resolved.reason}` : ''}`,
    late,
    asked: asks(request),
  };
}

/** The line that stays where a card was. */
export function settledLine(entry, summary) {
  const {state: is, head, rest, late, asked} = settledWords(entry);
  return html`<article class="card settled row ${late ? 'late' : ''}" data-settled=${entry.request.request}>${mark(is)}<span class="grow"><b>${head}</b> ${summary ? exactLine(summary.info.name) : ''} <span class="ink2">${asked.replace('asks: ', '').replace('asks a', 'a')} ${inert(rest)}</span></span>${summary ? html`<a class="button low" href=${sessionLink(summary)}>Open</a>` : nothing}</article>`;
}
