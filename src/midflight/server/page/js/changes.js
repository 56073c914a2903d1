// What changed since the session began, with comments on its lines that go to the agent together.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {live} from '../vendor/lit-html/directives/live.js';
import {ref} from '../vendor/lit-html/directives/ref.js';
import {repeat} from '../vendor/lit-html/directives/repeat.js';
import {parsed, sideBySide, unified} from './difftext.js';
import {ask, NoConnection, path} from './http.js';
import {exact, exactLine, inert} from './inert.js';
import {icon} from './marks.js';
import {chooseWay, send, wayOf} from './sendbox.js';
import {changed} from './store.js';
import {sessionPath} from './paths.js';
import {go, note, notes, takeFocus} from './ui.js';
import {clock, count} from './words.js';
import {lookAtWorktree, worktreeBar} from './worktree.js';

const WIDE = matchMedia('(min-width: 1200px)');
const loaded = new Map(); // by session: `{files, at, seq, problem}`

/** Fetch the diff where there is none, or where the session has gone on since. */
export function look(summary, again = false) {
  const known = loaded.get(summary.id);
  if (known && !again) return;
  loaded.set(summary.id, {...known, loading: true});
  lookAtWorktree(summary);
  ask('GET', path(summary.id, '/diff'))
    .then((answer) => loaded.set(summary.id, {files: parsed(answer.diff), cut: answer.left_out > 0, seq: summary.info.seq, at: Date.now() / 1000}))
    .catch((error) => loaded.set(summary.id, {...known, loading: false, problem: error instanceof NoConnection ? 'No connection.' : error.message}))
    .finally(changed);
}

/** Counts of the diff as far as they are known, for the header. */
export function counts(summary) {
  const files = loaded.get(summary.id)?.files;
  if (!files) return null;
  return {files: files.length, plus: files.reduce((sum, file) => sum + file.plus, 0), minus: files.reduce((sum, file) => sum + file.minus, 0)};
}

// Comments: kept on this device until they are sent or discarded -----------------------------

function key(id) {
  return `midflight.comments.${id}`;
}

function comments(id) {
  return (notes(`comments ${id}`).list ??= JSON.parse(localStorage.getItem(key(id)) ?? '[]'));
}

function keep(id, list) {
  if (list.length) localStorage.setItem(key(id), JSON.stringify(list));
  else localStorage.removeItem(key(id));
  note(`comments ${id}`, {list});
}

function sameLine(row, one) {
  return (row.new ?? -1) === (one.new ?? -1) && (row.new !== null || row.old === one.old);
}

function commentBox(summary, file, row) {
  const list = comments(summary.id);
  const {editing} = notes(`comments ${summary.id}`);
  const mine = list.filter((one) => one.path === file.path && sameLine(row, one));
  const draftHere = editing && editing.path === file.path && sameLine(row, editing) ? editing : null;
  if (!mine.length && !draftHere) return nothing;
  const done = () => { // what was typed last may not be painted yet
    const text = notes(`comments ${summary.id}`).editing.text.trim();
    note(`comments ${summary.id}`, {editing: null});
    if (text) keep(summary.id, [...list, {path: file.path, old: row.old, new: row.new, line: row.text, text}]);
  };
  const keys = (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) done();
    if (event.key === 'Escape') note(`comments ${summary.id}`, {editing: null});
  };
  return html`${mine.map((one) => html`<div class="comment"><div class="row"><b class="small">line ${row.new ?? row.old}</b><span class="small ink3 grow">not sent</span><button class="link small" @click=${() => { keep(summary.id, list.filter((each) => each !== one)); note(`comments ${summary.id}`, {editing: {...one}}); }}>Edit</button><button class="link small" @click=${() => keep(summary.id, list.filter((each) => each !== one))}>Delete</button></div>
      ${one.line === row.text ? nothing : html`<p class="small wait">The line has changed. It was: <code>${exact(one.line)}</code></p>`}<div>${inert(one.text)}</div></div>`)}
    ${draftHere ? html`<div class="comment"><b class="small">line ${row.new ?? row.old}</b><label class="hidden" for="comment">Comment</label><textarea id="comment" rows="2" ${ref(takeFocus)} .value=${live(draftHere.text)} @keydown=${keys} @input=${(event) => note(`comments ${summary.id}`, {editing: {...draftHere, text: event.target.value}})}></textarea>
      <div class="row wrap"><button class="act low" @click=${done}>Keep<kbd>Ctrl Enter</kbd></button><button class="quiet low" @click=${() => note(`comments ${summary.id}`, {editing: null})}>Discard</button><span class="small ink3">Nothing is sent until you send all.</span></div></div>` : nothing}`;
}

/** All comments as one message: file, line, what stands there, what is said of it. */
function asMessage(list) {
  const parts = list.map((one) => `${one.path}, line ${one.new ?? one.old}${one.new === null ? ' (removed)' : ''}:\n${one.line.trim() ? `> ${one.line.trim()}\n` : ''}${one.text}`);
  return `Comments on your changes:\n\n${parts.join('\n\n')}`;
}

function commentsBar(summary) {
  const list = comments(summary.id);
  if (!list.length) return nothing;
  const files = new Set(list.map((one) => one.path)).size;
  const way = wayOf(summary);
  const press = () => {
    send(summary, asMessage(list), way);
    keep(summary.id, []);
    go(sessionPath(summary)); // where its receipt stands
  };
  return html`<div class="comments-bar"><b>${count(list.length, 'comment')}</b><span class="small ink2 grow">in ${count(files, 'file')}, kept on this device</span>
    <button class="quiet low" @click=${() => keep(summary.id, [])}>Discard all</button>
    ${summary.runs ? html`<div class="group" role="group" aria-label="How they are sent">${['steer', 'queue', 'redirect'].map((each) => html`<button aria-pressed=${way === each} @click=${() => chooseWay(summary, each)}>${each[0].toUpperCase() + each.slice(1)}</button>`)}</div>` : nothing}
    <button class="act" @click=${press}>Send ${count(list.length, 'comment')} as one message</button></div>`;
}

// The screen ---------------------------------------------------------------------------------

const WORDS = {A: 'added', M: 'changed', D: 'removed', R: 'renamed'};

export function changesScreen(summary) {
  look(summary);
  const known = loaded.get(summary.id) ?? {};
  const mine = notes(`diff ${summary.id}`);
  const worktree = worktreeBar(summary, () => look(summary, true));
  if (known.problem) return html`${worktree}<main class="narrow"><p>${inert(known.problem)}</p><button @click=${() => look(summary, true)}>Try again</button></main>`;
  if (!known.files) return html`<main class="narrow" aria-busy="true"><p class="ink2">Looks at what has changed…</p></main>`;
  if (!known.files.length) return html`${worktree}<main class="narrow"><p>No changes since the session began.</p><button @click=${() => look(summary, true)}>Look again</button></main>`;
  const filter = (mine.filter ?? '').toLowerCase();
  const files = known.files.filter((file) => file.path.toLowerCase().includes(filter));
  const sides = (mine.sides ?? false) && WIDE.matches;
  const press = (file) => (row) => note(`comments ${summary.id}`, {editing: {path: file.path, old: row.old, new: row.new, line: row.text, text: ''}});
  return html`${worktree}<div class="changes"><nav aria-label="Files"><label class="hidden" for="files">Filter files</label><input id="files" placeholder="Filter ${count(known.files.length, 'file')}" .value=${live(mine.filter ?? '')} @input=${(event) => note(`diff ${summary.id}`, {filter: event.target.value})}>
      ${tree(files, summary, mine)}<p class="small ink3">Since the session began; read at ${clock(known.at)}. ${known.seq < summary.info.seq ? html`<button class="link" @click=${() => look(summary, true)}>It has gone on: look again</button>` : nothing}</p></nav>
    <main class="files" tabindex="0">${WIDE.matches ? html`<div class="row bar"><div class="group" role="group" aria-label="How it is shown"><button aria-pressed=${!sides} @click=${() => note(`diff ${summary.id}`, {sides: false})}>Unified</button><button aria-pressed=${sides} @click=${() => note(`diff ${summary.id}`, {sides: true})}>Side by side</button></div><span class="small ink2">Press a line to comment on it.</span></div>` : html`<p class="small ink2 bar">Tap a line to comment on it.</p>`}
      ${known.cut ? html`<p class="wait bar">It is long: only its beginning is shown.</p>` : nothing}
      ${repeat(files, (file) => file.path, (file) => html`<section id="file ${file.path}" aria-label=${file.path}><header>${icon('file')}<code class="strong grow">${exactLine(file.path)}</code><span class="ink2 small">${file.note || WORDS[file.status]}</span><span><span class="plus">+${file.plus}</span> <span class="minus">−${file.minus}</span></span><label class="row small"><input type="checkbox" .checked=${live(Boolean(mine[`seen ${file.path}`]))} @change=${(event) => note(`diff ${summary.id}`, {[`seen ${file.path}`]: event.target.checked})}>Seen</label></header>
        ${mine[`seen ${file.path}`] ? nothing : (sides ? sideBySide : unified)(file, {press: press(file), extra: (row) => commentBox(summary, file, row)})}</section>`)}</main></div>
    ${commentsBar(summary)}`;
}

function tree(files, summary, mine) {
  const folders = new Map();
  for (const file of files) {
    const at = file.path.lastIndexOf('/');
    const folder = at < 0 ? '' : file.path.slice(0, at);
    folders.set(folder, [...(folders.get(folder) ?? []), file]);
  }
  const commented = (file) => comments(summary.id).filter((one) => one.path === file.path).length;
  return html`<ul class="plain">${[...folders].map(([folder, list]) => html`<li>${folder ? html`<div class="folder">${exactLine(folder)}</div>` : nothing}<ul class="plain">${list.map((file) => html`<li><button class="quiet low" @click=${() => document.getElementById(`file ${file.path}`)?.scrollIntoView()}><span class="ink3">${file.status}</span><span class="grow cut left ${mine[`seen ${file.path}`] ? 'ink3' : ''}">${exactLine(file.path.slice(folder ? folder.length + 1 : 0))}</span>${commented(file) ? html`<span class="count">${commented(file)}</span>` : nothing}<span class="plus">+${file.plus}</span><span class="minus">−${file.minus}</span></button></li>`)}</ul></li>`)}</ul>`;
}
