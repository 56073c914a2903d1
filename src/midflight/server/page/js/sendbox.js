// The box for messages: steer, queue, redirect. One line says what the press would do now.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {live} from '../vendor/lit-html/directives/live.js';
import {ref} from '../vendor/lit-html/directives/ref.js';
import {repeat} from '../vendor/lit-html/directives/repeat.js';
import {command, newId, NoConnection, Problem} from './http.js';
import {asFields, attach, filesIn, imagesOf, keepImages, takesImages, thumbs} from './images.js';
import {exactLine, inert} from './inert.js';
import {icon, mark} from './marks.js';
import {changed, isLost, state} from './store.js';
import {draft, keepDraft, note, notes, takeFocus} from './ui.js';
import {clock, count, running} from './words.js';

const WAYS = {steer: 'Steer', queue: 'Queue', redirect: 'Redirect'};
const AGAIN_MS = 2000;
const outgoing = []; // messages that the page has and the server has not

/** The messages of a session that are not sent yet, as rows of its queue. */
export function unsent(id) {
  return outgoing.filter((one) => one.session === id);
}

/** The same id twice is one message: so it is sent again until an answer comes. */
async function deliver(message) {
  for (;;) {
    try {
      await command(message.session, message.fields);
      break;
    } catch (error) {
      if (error instanceof Problem) {
        giveBack(message);
        note(`box ${message.session}`, {problem: `Not sent: ${error.message}. Your text is in the box.`});
        break;
      }
      if (!(error instanceof NoConnection)) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      if (message.taken) break;
    }
  }
  if (outgoing.includes(message)) outgoing.splice(outgoing.indexOf(message), 1);
  changed();
}

/** Put a message that was not sent back into the box, above what stands there. */
function giveBack({session, fields, images}) {
  keepDraft(session, [fields.text, draft(session)].filter(Boolean).join('\n'));
  keepImages(session, [...images, ...imagesOf(session)]);
}

/** Send a text to a session, with images; it stands there at once as not sent yet. */
export function send(summary, text, way, images = []) {
  const fields = way === 'redirect'
    ? {type: 'redirect', id: newId(), text, drop_queued: Boolean(notes(`box ${summary.id}`).drop)}
    : {type: 'send', id: newId(), text, delivery: way === 'queue' ? 'queue' : 'steer'};
  if (images.length) fields.images = asFields(images);
  const message = {session: summary.id, at: Date.now() / 1000, taken: false, fields, images};
  outgoing.push(message);
  note(`box ${summary.id}`, {problem: '', drop: false});
  deliver(message);
}

async function act(summary, fields) {
  try {
    await command(summary.id, fields);
  } catch (error) {
    note(`box ${summary.id}`, {problem: error instanceof NoConnection ? 'No answer from the server; look at what happened when the connection is back.' : `Not done: ${error.message}`});
  }
}

export function wayOf(summary) {
  return summary.runs ? notes(`box ${summary.id}`).way ?? 'steer' : 'send';
}

export function chooseWay(summary, way) {
  note(`box ${summary.id}`, {way});
  document.querySelector('.send-box textarea')?.focus();
}

/** Put a text into the box, above what stands there. */
export function putBack(summary, text) {
  keepDraft(summary.id, [text, draft(summary.id)].filter(Boolean).join('\n'));
  changed();
}

const SLASH = /^\/(queue|redirect|steer)\s+(?=\S)/;

function press(summary, way = wayOf(summary)) {
  let text = draft(summary.id);
  const slash = SLASH.exec(text);
  if (slash) {
    text = text.slice(slash[0].length);
    way = slash[1];
  }
  if (!text.trim() || notes(`box ${summary.id}`).reading) return; // an image that is read would go with the next
  keepDraft(summary.id, '');
  const images = imagesOf(summary.id);
  keepImages(summary.id, []);
  send(summary, text, way, images);
}

/** What the press would do now. */
function says(summary, conversation, way) {
  if (way === 'send') return summary.info.status === 'closed' ? 'The conversation goes on with this.' : 'Begins a turn.';
  const call = [...conversation.calls.values()].findLast((one) => one.state === 'running');
  const asked = summary.pending.length;
  if (way === 'steer') {
    if (asked) return "Read at the agent's next step, after your answer above.";
    return `Read at the agent's next step${call ? html`, after <code>${inert(call.name)}</code>` : ''}.`;
  }
  if (way === 'queue') return 'Gets a turn of its own after this one.';
  const queued = conversation.waiting.length;
  return html`Ends the running turn${call ? html` with its <code>${inert(call.name)}</code> (${running(Date.now() / 1000 - call.time)})` : ''}${asked ? html` and ${count(asked, 'request')}` : ''}, then starts this.${queued ? ` The ${count(queued, 'queued message')} stay behind it.` : ''}`;
}

export function sendBox(summary, conversation) {
  const way = wayOf(summary);
  const {problem = '', drop = false, stopping = false, over = false} = notes(`box ${summary.id}`);
  const take = (event, transfer) => {
    const files = filesIn(transfer);
    if (!files.length) return;
    event.preventDefault();
    attach(summary, files);
  };
  const pasted = (event) => event.clipboardData?.types.includes('text/plain') || take(event, event.clipboardData);
  const draggedOver = (event) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    if (!over) note(`box ${summary.id}`, {over: true});
  };
  const dropped = (event) => {
    note(`box ${summary.id}`, {over: false});
    take(event, event.dataTransfer);
  };
  const chosen = (event) => {
    attach(summary, filesIn(event.target));
    event.target.value = '';
  };
  const keys = (event) => {
    if (event.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      press(summary, event.ctrlKey || event.metaKey ? 'queue' : way);
    } else if (event.key === 'Escape') event.target.blur();
  };
  const text = draft(summary.id);
  return html`
    ${stopping ? stopQuestion(summary, conversation) : nothing}
    ${problem ? html`<p class="fail" role="alert">${inert(problem)}</p>` : nothing}
    <div class="send-box ${over ? 'over' : ''}" @dragover=${draggedOver} @dragleave=${() => note(`box ${summary.id}`, {over: false})} @drop=${dropped}><label class="hidden" for="box">Message to ${exactLine(summary.info.name)}</label>
      ${thumbs(summary)}<textarea id="box" rows="1" placeholder=${summary.runs ? 'Say something to the agent while it works' : 'Say what comes next'} .value=${live(text)} @keydown=${keys} @paste=${pasted} @input=${(event) => { keepDraft(summary.id, event.target.value); changed(); }}></textarea>
      <div class="foot">
        ${takesImages() ? html`<label class="button quiet add-images" title="Add images"><span class="hidden">Add images</span>${icon('image')}<input class="hidden" type="file" multiple accept="image/png,image/jpeg,image/gif,image/webp" @change=${chosen}></label>` : nothing}
        ${summary.runs ? html`<div class="group" role="group" aria-label="How it is sent">${Object.entries(WAYS).map(([key, word]) => html`<button aria-pressed=${way === key} @click=${() => chooseWay(summary, key)}>${word}</button>`)}</div>` : nothing}
        ${way === 'redirect' && conversation.waiting.length ? html`<label class="row small"><input type="checkbox" .checked=${live(drop)} @change=${(event) => note(`box ${summary.id}`, {drop: event.target.checked})}> drop the ${conversation.waiting.length} queued</label>` : nothing}
        <span class="says">${says(summary, conversation, way)}</span>
        ${text ? html`<span class="least ink3">draft kept</span>` : nothing}
        <button class="act" ?disabled=${!text.trim()} @click=${() => press(summary)}>${WAYS[way] ?? 'Send'}<kbd>Enter</kbd></button>
      </div></div>`;
}

// Stop ---------------------------------------------------------------------------------------

/** Stop the turn; where messages are queued, say first what becomes of them. */
export function stop(summary, conversation) {
  if (!summary.runs || isLost()) return;
  if (conversation?.waiting.length) {
    note(`box ${summary.id}`, {stopping: true});
    requestAnimationFrame(() => document.querySelector('.stop-question button')?.focus());
  } else act(summary, {type: 'interrupt', keep_queued: true});
}

function stopQuestion(summary, conversation) {
  const queued = conversation.waiting.length;
  const done = (keep) => {
    note(`box ${summary.id}`, {stopping: false});
    if (keep !== null) act(summary, {type: 'interrupt', keep_queued: keep});
  };
  const keys = (event) => {
    if (event.key === 'Escape') done(null);
    else if (event.key === 'k') done(true);
    else if (event.key === 's') done(false);
    else return;
    event.stopPropagation();
    event.preventDefault();
  };
  return html`<section class="card stop-question end-box" aria-label="Stop the turn?" @keydown=${keys}><span class="grow stack"><h2>Stop the turn?</h2><span class="ink2">It ends now, with its command. The session stays.</span>
    <span class="row wrap"><button @click=${() => done(true)}>Stop, keep the queue<kbd>k</kbd></button><button class="stop" @click=${() => done(false)}>Stop, cancel the ${queued} queued<kbd>s</kbd></button><button class="quiet" @click=${() => done(null)}>Back<kbd>Esc</kbd></button></span></span></section>`;
}

// The queue ----------------------------------------------------------------------------------

let dragged = null;

export function queue(summary, conversation) {
  const rows = [...conversation.waiting, ...unsent(summary.id).filter((one) => !conversation.messages.has(one.fields.id)).map((one) => ({message: one.fields.id, text: one.fields.text, images: one.images, state: 'unsent', delivery: one.fields.delivery ?? 'now'}))];
  const held = summary.heldUntil;
  if (!rows.length && !held) return nothing;
  return html`<section class="queue" aria-label="Queue"><h2 class="part row"><span>What waits</span> <span class="count">${rows.length}</span></h2>
    ${held ? html`<p class="row held small">${mark('held')}Waits for the usage limit until ${clock(held)}</p>` : nothing}
    <ol class="plain">${repeat(rows, (row) => row.message, (row, index) => queued(summary, rows, row, index))}</ol></section>`;
}

function before(rows, index) {
  return rows[index]?.message ?? null;
}

function queued(summary, rows, row, index) {
  const mine = notes(`queued ${row.message}`);
  const move = (to) => act(summary, {type: 'move', message: row.message, before: to});
  if (mine.text !== undefined) {
    const done = () => {
      if (mine.text.trim() && mine.text !== row.text) act(summary, {type: 'edit', message: row.message, text: mine.text});
      note(`queued ${row.message}`, {text: undefined});
    };
    return html`<li><label class="hidden" for="edit ${row.message}">Text of message ${index + 1}</label><textarea id="edit ${row.message}" rows="2" ${ref(takeFocus)} .value=${live(mine.text)} @input=${(event) => note(`queued ${row.message}`, {text: event.target.value})} @keydown=${(event) => event.key === 'Enter' && !event.shiftKey && (event.preventDefault(), done())}></textarea><button @click=${done}>Keep</button></li>`;
  }
  const keys = (event) => {
    if (!event.altKey || !['ArrowUp', 'ArrowDown'].includes(event.key)) return;
    event.preventDefault();
    if (event.key === 'ArrowUp' && index) move(before(rows, index - 1));
    if (event.key === 'ArrowDown' && index < rows.length - 1) move(before(rows, index + 2));
  };
  const waits = row.state !== 'unsent';
  return html`<li tabindex="0" draggable=${waits ? 'true' : 'false'} class=${mine.over ? 'over' : ''} aria-label="Message ${index + 1}: ${row.text}" @keydown=${keys}
      @dragstart=${() => (dragged = row.message)} @dragover=${(event) => { event.preventDefault(); if (!mine.over) note(`queued ${row.message}`, {over: true}); }} @dragleave=${() => note(`queued ${row.message}`, {over: false})}
      @drop=${(event) => { event.preventDefault(); note(`queued ${row.message}`, {over: false}); if (dragged && dragged !== row.message) act(summary, {type: 'move', message: dragged, before: row.message}); dragged = null; }}>
    <span class="handle">${icon('handle')}</span>${row.number ? html`<span class="small ink3" title="Its number, for midflight queue">no. ${row.number}</span>` : nothing}<span class="grow cut">${inert(row.text)}</span>
    ${row.images?.length ? html`<span class="small ink2 row">${icon('image')}${count(row.images.length, 'image')}</span>` : nothing}
    ${row.delivery === 'steer' && waits ? html`<span class="small run">steers at the next step</span>` : nothing}
    ${waits ? html`${row.delivery === 'queue' && summary.runs ? html`<button class="low quiet" @click=${() => act(summary, {type: 'promote', message: row.message})}>Steer now</button>` : nothing}
      <button class="low quiet square" aria-label="Edit" title="Edit" @click=${() => note(`queued ${row.message}`, {text: row.text})}>${icon('edit')}</button>
      <button class="low quiet square" aria-label="Cancel" title="Cancel" @click=${() => act(summary, {type: 'cancel', message: row.message})}>${icon('close')}</button>`
    : html`<span class="receipt">${mark('unsent', '')}Not sent yet</span><button class="link small" @click=${() => { const one = outgoing.find((each) => each.fields.id === row.message); if (one) { one.taken = true; outgoing.splice(outgoing.indexOf(one), 1); giveBack(one); changed(); } }}>Take back</button>`}</li>`;
}

export {act};
