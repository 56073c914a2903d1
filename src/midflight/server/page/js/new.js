// A new session: the task, where, by whom, within which limits; and what the folder would run.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {live} from '../vendor/lit-html/directives/live.js';
import {ref} from '../vendor/lit-html/directives/ref.js';
import {ask, newId, NoConnection} from './http.js';
import {exact, exactLine, inert} from './inert.js';
import {mark} from './marks.js';
import {all, learn} from './store.js';
import {draft, go, keepDraft, note, notes, takeFocus} from './ui.js';
import {sessionPath} from './paths.js';
import {agentName, count, modes} from './words.js';

const FORM = 'new session';
const AGAIN_MS = 60_000;
const RETRY_MS = 5_000;
let offered = null; // the agents of the server's machine, those that are installed first
let askedAt = 0;

function form() {
  return notes(FORM, {agent: '', mode: 'default', worktree: false});
}

/** Learn which agents there are: one may have been installed meanwhile. */
async function learnAgents() {
  if (Date.now() - askedAt < AGAIN_MS) return;
  askedAt = Date.now();
  try {
    offered = await ask('GET', 'agents');
    set({});
  } catch {
    askedAt += RETRY_MS - AGAIN_MS;
  }
}

/** The agent that is chosen, or would be: `{name, installed, …}`. */
function chosenAgent() {
  const {agent} = form();
  return offered?.find((one) => one.name === agent) ?? offered?.[0] ?? {name: agent || 'claude', installed: true, install: '', capabilities: {}, limits: {}};
}

/** The models that sessions of an agent have had here. */
function modelsOf(agent) {
  return [...new Set(all().filter((one) => one.info.agent === agent && one.info.model).map((one) => one.info.model))].sort();
}

function set(fields) {
  note(FORM, fields);
}

/** The folders that were worked in lately. */
function folders() {
  const newest = new Map();
  for (const {info} of all()) newest.set(info.cwd, Math.max(newest.get(info.cwd) ?? 0, info.updated));
  return [...newest].sort(([, a], [, b]) => b - a).map(([cwd]) => cwd).slice(0, 20);
}

function number(text, name) {
  const value = (text ?? '').replace(/^\$/, '').trim();
  if (value === '') return {};
  if (!(Number(value) > 0)) throw new Error(`${text} is no number above 0`);
  return {[name]: Number(value)};
}

/**
 * Start; what the folder would have this agent run is shown first. `answer` is what was said to it:
 * `without`, or the digest of what is trusted.
 */
async function start(answer) {
  const mine = form();
  const task = draft(FORM).trim();
  const cwd = (mine.cwd ?? folders()[0] ?? '').trim();
  if (!task || mine.sending) return;
  if (!cwd) return set({problem: 'Say in which folder it is to work.'});
  const agent = chosenAgent().name;
  set({sending: true, problem: ''});
  try {
    const stake = answer === 'without' ? {trusted: true} : await ask('POST', 'trust', {cwd, agent, ...(answer && {agree: answer})});
    if (!stake.trusted) return set({sending: false, stake: {...stake, cwd}});
    const info = await ask('POST', 'sessions', {id: (mine.id ??= newId()), task, cwd, agent, ...options(mine), ...(answer === 'without' && {trust: false})});
    learn(info);
    keepDraft(FORM, '');
    set({sending: false, stake: null, id: undefined});
    return go(sessionPath({info, id: info.id}));
  } catch (error) {
    const problem = error instanceof NoConnection
      ? 'No answer from the server. Press Start again: it is started once.'
      : `Not started: ${error.message}${error.hint ? `. ${error.hint}` : ''}`;
    return set({sending: false, stake: null, problem});
  }
}

function options(mine) {
  const allowed = (mine.allowed ?? '').split(/,\s*(?![^(]*\))/).map((one) => one.trim()).filter(Boolean);
  const minutes = number(mine.minutes, 'minutes');
  return {
    ...(mine.model?.trim() && {model: mine.model.trim()}),
    ...(mine.mode !== 'default' && {permission_mode: mine.mode}),
    ...(allowed.length && {allowed_tools: allowed}),
    ...(mine.worktree && {worktree: true}),
    ...number(mine.budget, 'max_budget_usd'), ...number(mine.steps, 'max_turns'),
    ...('minutes' in minutes && {timeout: 60 * minutes.minutes}),
  };
}

const TITLES = {run: 'Would run', redirect: 'Would send your key, and what is said, elsewhere', allow: 'Would allow beforehand (midflight asks all the same)', use: 'Would obey'};

function trustQuestion({files, silent, problems = [], told, beyond, digest, cwd}) {
  const rows = (kind) => files.filter((one) => one.kind === kind);
  return html`<section class="card request open trust" aria-label="What this folder would run">${mark('waits')}
    <h2>This folder can run programs as soon as the agent starts</h2><p class="ink2">Found in <code>${exactLine(cwd)}</code>. None of it has run. Whole text:</p>
    ${Object.entries(TITLES).map(([kind, title]) => (rows(kind).length ? html`<h3>${title}</h3>${rows(kind).map((one) => html`<div class="row wrap"><span class="grow"></span><code class="ink2">${exactLine(one.path)}</code></div><pre class="output">${exact(one.text)}</pre>`)}` : nothing))}
    ${silent ? html`<p class="ink2">It would load ${count(silent, 'more file')}.</p>` : nothing}
    ${problems.map((problem) => html`<p class="wait">${exact(problem)}</p>`)}
    ${beyond ? html`<p class="fail">It cannot be trusted: ${inert(beyond)}</p>` : nothing}
    <div class="buttons">${told ? html`<button class="act" @click=${() => start('without')}>Go on without them</button>` : nothing}
      ${beyond ? nothing : html`<button @click=${() => start(digest)}>Trust these files and go on</button>`}
      <button class="quiet apart" @click=${() => set({stake: null})}>Cancel</button></div>
    <p class="small ink2">Trust holds for this repository and exactly these files. If one of them changes, also by an agent, you are asked again. <code>midflight trust --forget</code> withdraws it.</p></section>`;
}

function keys(event) {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    start();
  }
}

function taskField(rows) {
  return html`<label class="field">Task<textarea ${ref(takeFocus)} rows=${rows} placeholder="Add input validation to the /users POST endpoint" .value=${live(draft(FORM))} @keydown=${keys} @input=${(event) => { keepDraft(FORM, event.target.value); set({}); }}></textarea></label>`;
}

function whereFields() {
  const mine = form();
  learnAgents();
  const chosen = chosenAgent();
  return html`<label class="field">Folder<input list="folders" spellcheck="false" .value=${live(mine.cwd ?? folders()[0] ?? '')} @input=${(event) => set({cwd: event.target.value, stake: null})}></label><datalist id="folders">${folders().map((cwd) => html`<option value=${cwd}></option>`)}</datalist>
    <label class="field">Agent<select @change=${(event) => set({agent: event.target.value, stake: null})}>${(offered ?? [chosen]).map((one) => html`<option value=${one.name} ?selected=${one.name === chosen.name}>${agentName(one.name)}${one.installed ? '' : ' (not installed)'}</option>`)}</select></label>
    ${chosen.installed ? nothing : html`<p class="ink2">It is not on the server's machine. There: <code>${exactLine(chosen.install)}</code></p>`}`;
}

function intoSight(element) {
  queueMicrotask(() => element?.scrollIntoView({block: 'nearest'}));
}

function startButton() {
  const mine = form();
  const waits = Boolean(mine.stake);
  return html`<div class="row wrap"><button class="act" ?disabled=${!draft(FORM).trim() || mine.sending || waits} @click=${() => start()}>${mine.sending ? 'Starting…' : 'Start'}<kbd>Ctrl Enter</kbd></button>${waits ? html`<span class="ink2">Answer the question first.</span>` : nothing}</div>
    ${mine.problem ? html`<p class="fail" role="alert" ${ref(intoSight)}>${inert(mine.problem)}</p>` : nothing}`;
}

/** The short form, for those who have no session yet. */
export function startForm() {
  const {stake} = form();
  return html`<div class="stack gap12">${taskField(3)}<div class="fields">${whereFields()}</div>${startButton()}${stake ? trustQuestion(stake) : nothing}</div>`;
}

export function newSession() {
  const mine = form();
  const {name: agent, capabilities, limits} = chosenAgent();
  const small = (name, word, placeholder) => html`<label class="field"><span class="hidden">${word}</span><input inputmode="decimal" ?disabled=${name === 'budget' && capabilities.cost === 'not'} placeholder=${placeholder} .value=${live(mine[name] ?? '')} @input=${(event) => set({[name]: event.target.value})}></label>`;
  return html`<main class="new"><div class="stack gap16"><h1>New session</h1>${taskField(5)}<div class="fields">${whereFields()}
      <label class="field">Model<input list="models" placeholder="the agent's own choice" spellcheck="false" .value=${live(mine.model ?? '')} @input=${(event) => set({model: event.target.value})}></label><datalist id="models">${modelsOf(agent).map((model) => html`<option value=${model}></option>`)}</datalist></div>
      <fieldset><legend class="strong">What it may do without asking</legend><div class="choices">${modes().map(([mode, says]) => html`<label class="card choice ${mine.mode === mode ? 'chosen' : ''}"><input type="radio" name="mode" .checked=${live(mine.mode === mode)} @change=${() => set({mode})}><span><span class="strong">${mode}</span><br><span class="ink2">${says}</span></span></label>`)}</div></fieldset>
      <label class="field">Allowed besides <span class="ink3">for example Edit, Bash(npm test)</span><input class="mono" spellcheck="false" .value=${live(mine.allowed ?? '')} @input=${(event) => set({allowed: event.target.value})}></label>
      <fieldset><legend class="strong">Limits <span class="ink3">empty means none</span></legend><div class="fields">${small('budget', 'Dollars of the session', '$ of the session')}${small('steps', 'Steps of a turn', 'steps of a turn')}${small('minutes', 'Minutes of a turn', 'minutes of a turn')}</div>${capabilities.cost === 'not' ? html`<p class="small ink2">No limit in dollars: ${inert(limits.cost ?? 'what it costs is not told')}.</p>` : nothing}</fieldset>
      <label class="row start"><input type="checkbox" .checked=${live(Boolean(mine.worktree))} @change=${(event) => set({worktree: event.target.checked})}><span><b>In a worktree of its own</b><br><span class="ink2">On a branch of its own, from the last commit. What you have not committed stays where it is.</span></span></label>
      ${startButton()}</div>${mine.stake ? trustQuestion(mine.stake) : html`<div></div>`}</main>`;
}
