// A session's worktree: what a merge would bring, and what becomes of it. Words and verbs are those of
// `midflight worktree`.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {live} from '../vendor/lit-html/directives/live.js';
import {ref} from '../vendor/lit-html/directives/ref.js';
import {ask, NoConnection, path} from './http.js';
import {exactLine, inert} from './inert.js';
import {icon, mark} from './marks.js';
import {moved, UNREAD_MS} from './request.js';
import {changed, isLost} from './store.js';
import {note, notes, takeFocus} from './ui.js';
import {count} from './words.js';

const MOST_FILES = 10; // of those that conflict, in a sentence

function mine(summary) {
  return notes(`worktree ${summary.id}`);
}

function set(summary, fields) {
  note(`worktree ${summary.id}`, fields);
}

/** Ask which worktree the session has, if it has one of its own. */
export function lookAtWorktree(summary) {
  ask('GET', path(summary.id, '/worktree')).then((row) => show(summary, row)).catch(() => show(summary, null));
}

/** What was pressed when the bar has just come was meant for what stood there before. */
function show(summary, row) {
  const comes = row !== null && !mine(summary).row;
  set(summary, {row});
  if (comes) moved(`worktree ${summary.id}`);
}

/** Have something done, and say what came of it; `then` looks at what there is now. */
async function does(summary, fields, then) {
  set(summary, {doing: fields.action, asks: '', outcome: null, problem: ''});
  try {
    set(summary, {outcome: await ask('POST', path(summary.id, '/worktree'), fields)});
    if (fields.action === 'discard') set(summary, {row: null});
    else then();
  } catch (error) {
    set(summary, {problem: error instanceof NoConnection
      ? 'No answer from the server: whether it was done is seen when the connection is back.'
      : `Not done: ${error.message}.${error.hint ? ` ${error.hint}` : ''}`});
  } finally {
    mine(summary).doing = '';
    changed();
  }
}

function listed(files) {
  const more = files.length - MOST_FILES;
  return html`${files.slice(0, MOST_FILES).map((file, index) => html`${index ? ', ' : ''}<code>${exactLine(file)}</code>`)}${more > 0 ? ` and ${more} more` : ''}`;
}

const OUTCOMES = {
  merge(done) {
    const into = html`<code>${exactLine(done.into)}</code>`;
    if (done.conflicts.length) {
      return html`${mark('limit', '')}<span class="grow"><b>It conflicts</b> with ${into} in ${listed(done.conflicts)}. Nothing was changed in <code>${exactLine(done.folder)}</code>. ${done.told ? html`The agent was told to merge ${into} into its branch; when it has, merge again.` : html`Have the agent merge ${into} into its branch, and merge again.`}</span>`;
    }
    if (!done.new) return html`${mark('done', '')}<span class="grow">${into} in <code>${exactLine(done.folder)}</code> has all of it already.</span>`;
    return html`${mark('done', '')}<span class="grow"><b>Merged</b> into ${into} (<code>${done.commit.slice(0, 10)}</code>) in <code>${exactLine(done.folder)}</code>.</span>`;
  },
  branch(done) {
    return html`${mark('done', '')}<span class="grow"><code>${exactLine(done.branch)}</code> <b>has all of it</b> (<code>${done.commit.slice(0, 10)}</code>).${done.command ? html` To publish it: <code>${exactLine(done.command)}</code>` : nothing}</span>`;
  },
  discard(done) {
    return html`${mark('ended', '')}<span class="grow"><b>Thrown away</b>: the worktree and its branch <code>${exactLine(done.branch)}</code>. ${done.snapshot ? html`What was only there is in <code>${exactLine(done.snapshot)}</code>; <code>git branch ${exactLine(done.worktree)} ${exactLine(done.snapshot)}</code> brings it back.` : 'Nothing is lost: other branches have all of it.'}</span>`;
  },
};

function discardQuestion(summary, then) {
  const keys = (event) => {
    if (event.key !== 'Escape') return;
    event.stopPropagation();
    set(summary, {asks: ''});
  };
  return html`<section class="end-box" aria-label="Discard the worktree?" @keydown=${keys}><span class="grow stack"><h2>Discard the worktree?</h2><span class="ink2">Its folder and its branch go, and its session is closed. What is in no other branch is kept in a ref of git.</span>
    <span class="row wrap"><button class="stop" @click=${() => does(summary, {action: 'discard'}, then)}>Discard it</button><button class="quiet" ${ref(takeFocus)} @click=${() => set(summary, {asks: ''})}>Back<kbd>Esc</kbd></button></span></span></section>`;
}

function branchForm(summary, then) {
  const {name = ''} = mine(summary);
  const done = (event) => {
    event.preventDefault();
    does(summary, {action: 'branch', name: mine(summary).name?.trim() ?? ''}, then);
  };
  return html`<form class="row wrap" @submit=${done}><label class="field small grow">Also as a branch named <span class="ink3">may stay empty</span><input ${ref(takeFocus)} spellcheck="false" placeholder="fix/the-tests" .value=${live(name)} @input=${(event) => set(summary, {name: event.target.value})} @keydown=${(event) => { if (event.key === 'Escape') { event.stopPropagation(); set(summary, {asks: ''}); } }}></label>
    <button class="act">Commit all to it</button><button type="button" class="quiet" @click=${() => set(summary, {asks: ''})}>Back</button></form>`;
}

/** What is in the worktree, what can be done with it, and what came of that; nothing where there is none. */
export function worktreeBar(summary, then) {
  const {row, doing, asks, outcome, problem, shownAt = 0} = mine(summary);
  if (!row && !outcome && !problem) return nothing;
  const off = Boolean(doing) || summary.runs || isLost() || Date.now() - shownAt < UNREAD_MS;
  const parts = row ? [row.commits && count(row.commits, 'commit'), row.uncommitted && `${count(row.uncommitted, 'file')} not committed`].filter(Boolean) : [];
  return html`<section class="worktree stack" aria-label="Worktree">
    ${row ? html`<div class="row wrap">${icon('branch')}<span class="grow"><code class="strong">${exactLine(row.branch || row.folder)}</code> <span class="small ink2">${row.origin ? html`from <code>${exactLine(row.origin)}</code> · ` : nothing}${row.damaged ? inert(row.damaged) : parts.join(', ') || 'nothing new'}</span></span>
      <button class="low" ?disabled=${off} @click=${() => does(summary, {action: 'merge'}, then)}>${doing === 'merge' ? 'Merging…' : html`Merge${row.origin ? html` into <code>${exactLine(row.origin)}</code>` : nothing}`}</button>
      <button class="low" ?disabled=${off} @click=${() => set(summary, {asks: 'branch'})}>${doing === 'branch' ? 'Committing…' : 'Branch…'}</button>
      <button class="low" ?disabled=${off} @click=${() => set(summary, {asks: 'discard'})}>${doing === 'discard' ? 'Discarding…' : 'Discard…'}</button></div>
      ${summary.runs ? html`<p class="small ink2">Not while the agent is at work: wait for it, or stop it.</p>` : nothing}
      ${asks === 'branch' ? branchForm(summary, then) : asks === 'discard' ? discardQuestion(summary, then) : nothing}` : nothing}
    <div role="status">${outcome ? html`<p class="row start">${OUTCOMES[outcome.action](outcome)}</p>` : nothing}${problem ? html`<p class="fail">${inert(problem)}</p>` : nothing}</div></section>`;
}
