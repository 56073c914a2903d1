// Beside a session: its limits, its plan, its sub-agents, what is allowed, and what it runs on.

import {html, nothing, svg} from '../vendor/lit-html/lit-html.js';
import {live} from '../vendor/lit-html/directives/live.js';
import {ref} from '../vendor/lit-html/directives/ref.js';
import {exactLine, inert} from './inert.js';
import {mark} from './marks.js';
import {act} from './sendbox.js';
import {state} from './store.js';
import {note, notes, sessionLink, takeFocus} from './ui.js';
import {age, agentName, count, dollars, modes, running} from './words.js';

function meter(label, used, limit, text) {
  if (!limit) return html`<div class="row"><span class="grow">${label}, no limit</span><b>${text}</b></div>`;
  const share = Math.min(100, (100 * used) / limit);
  return html`<div class="row"><span class="grow">${label}</span><b>${text}</b></div>
    <svg class="meter" role="img" aria-label="${Math.round(share)} % used"><defs><pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" class="level"/><rect width="2.5" height="6" class="gap"/></pattern></defs>
    <rect width="100%" height="6" rx="3"/>${svg`<rect class=${share < 80 ? 'level' : 'nearly'} width="${share}%" height="6" rx="3"/>`}</svg>`;
}

function limits(summary, conversation) {
  const {info} = summary;
  const {max_turns: steps, max_budget_usd: budget, timeout} = info.limits;
  const {turn} = conversation;
  const spent = turn ? Date.now() / 1000 - turn.since : summary.outcome?.duration_s ?? 0;
  const did = turn?.steps ?? summary.outcome?.steps ?? 0;
  const money = dollars(info.total_cost_usd, summary.estimated);
  return html`<h2 class="part">Limits</h2><div>
    ${meter('Steps this turn', did, steps, steps ? `${did} of ${steps}` : did)}
    ${meter('Budget of this session', info.total_cost_usd ?? 0, info.total_cost_usd === null ? 0 : budget, budget ? `${money} of ${dollars(budget)}` : money)}
    ${meter('Time this turn', spent, timeout, timeout ? `${running(spent)} of ${running(timeout)}` : running(spent))}</div>
    ${raise(summary)}`;
}

/** Raise a limit: a session that one has ended goes on with the next message. */
function raise(summary) {
  const mine = notes(`limits ${summary.id}`);
  if (!mine.open) return html`<button class="link small" @click=${() => note(`limits ${summary.id}`, {open: true})}>${Object.keys(summary.info.limits).length ? 'Raise a limit…' : 'Set limits…'}</button>`;
  const field = (name, word) => html`<label class="field small">${word}<input inputmode="decimal" .value=${live(mine[name] ?? String(summary.info.limits[name] ?? ''))} @input=${(event) => note(`limits ${summary.id}`, {[name]: event.target.value})}></label>`;
  const done = () => {
    const changes = {};
    for (const name of ['max_turns', 'max_budget_usd', 'timeout']) {
      if (mine[name] === undefined) continue;
      const value = mine[name].trim() === '' ? null : Number(mine[name].replace('$', ''));
      if (Number.isNaN(value)) return note(`limits ${summary.id}`, {wrong: `${mine[name]} is no number`});
      changes[name] = value;
    }
    note(`limits ${summary.id}`, {open: false, wrong: '', max_turns: undefined, max_budget_usd: undefined, timeout: undefined});
    if (Object.keys(changes).length) act(summary, {type: 'set_limits', ...changes});
    return undefined;
  };
  return html`<form class="stack" @submit=${(event) => { event.preventDefault(); done(); }}>${field('max_turns', 'Steps of a turn')}${field('max_budget_usd', 'Dollars of the session')}${field('timeout', 'Seconds of a turn')}<span class="small ink3">empty means none</span>
    ${mine.wrong ? html`<p class="fail">${inert(mine.wrong)}</p>` : nothing}<span class="row"><button class="act low">Set</button><button type="button" class="quiet low" @click=${() => note(`limits ${summary.id}`, {open: false})}>Back</button></span></form>`;
}

const PLAN = {completed: 'done', in_progress: 'running'};

function plan(entries) {
  if (!entries.length) return nothing;
  const done = entries.filter((entry) => entry.status === 'completed').length;
  return html`<hr><h2 class="part">Plan <span class="ink3">${done} of ${entries.length}</span></h2><ul class="plain stack">${entries.map((entry) => html`<li class="row start">${mark(PLAN[entry.status] ?? 'pending', entry.status.replace('_', ' '))}<span class=${entry.status === 'in_progress' ? 'strong' : entry.status === 'completed' ? 'ink2' : ''}>${inert(entry.text)}</span></li>`)}</ul>`;
}

function agents(conversation) {
  if (!conversation.agents.length) return nothing;
  return html`<hr><h2 class="part">Sub-agents <span class="ink3">${conversation.agents.length}</span></h2><ul class="plain stack">${conversation.agents.map((call) => html`<li class="row start">${mark(call.state === 'running' ? 'running' : call.state === 'failed' ? 'failed' : 'done')}<span class="grow">${inert(call.title || call.name)}</span><span class="small ink2">${count(call.steps ?? 0, 'step')}</span></li>`)}</ul>`;
}

function tasks(conversation) {
  const list = [...conversation.tasks.values()].filter((task) => !task.ended);
  if (!list.length) return nothing;
  return html`<hr><h2 class="part">In the background <span class="ink3">${list.length}</span></h2><ul class="plain stack">${list.map((task) => html`<li class="row start">${mark('running')}<span class="grow">${inert(task.title)}</span><span class="small ink2">${running(Date.now() / 1000 - task.since)}</span></li>`)}</ul>`;
}

function rules(summary) {
  if (!summary.info.rules.length) return nothing;
  return html`<hr><h2 class="part">Allowed for this session</h2><ul class="plain stack">${summary.info.rules.map((rule) => html`<li class="row"><code class="grow">${exactLine(rule)}</code><button class="low quiet" @click=${() => act(summary, {type: 'revoke', rule})}>Withdraw</button></li>`)}</ul>`;
}

function runsOn(summary, conversation) {
  const {info} = summary;
  const mine = notes(`runs ${summary.id}`);
  const mode = state.open?.agent?.permission_mode ?? '';
  const parent = info.parent && state.sessions.get(info.parent);
  const setModel = (event) => {
    event.preventDefault();
    if (mine.model?.trim() && mine.model !== info.model) act(summary, {type: 'set_model', model: mine.model.trim()});
    note(`runs ${summary.id}`, {model: undefined});
  };
  return html`<hr><h2 class="part">Runs on</h2><dl class="facts">
    <dt>Agent</dt><dd>${exactLine(agentName(info.agent))} ${conversation.agent?.agent_version ? exactLine(conversation.agent.agent_version) : nothing}</dd>
    <dt>Model</dt><dd>${mine.model === undefined ? html`<button class="link" title="Switch the model" @click=${() => note(`runs ${summary.id}`, {model: info.model})}>${exactLine(info.model || 'its own choice')}</button>` : html`<form @submit=${setModel}><input aria-label="Model" ${ref(takeFocus)} .value=${live(mine.model)} @input=${(event) => note(`runs ${summary.id}`, {model: event.target.value})} @keydown=${(event) => event.key === 'Escape' && note(`runs ${summary.id}`, {model: undefined})}></form>`}</dd>
    <dt>Permissions</dt><dd><select aria-label="Permission mode" @change=${(event) => act(summary, {type: 'set_permission_mode', mode: event.target.value})}>${mode ? nothing : html`<option value="" selected disabled>as begun</option>`}${modes().map(([each]) => html`<option value=${each} ?selected=${each === mode}>${each}</option>`)}</select></dd>
    <dt>Folder</dt><dd><code>${exactLine(info.cwd)}</code></dd>
    ${info.parent ? html`<dt>Started by</dt><dd>${parent ? html`<a href=${sessionLink(parent)}>${exactLine(parent.info.name)}</a>` : 'an agent'}</dd>` : nothing}
    <dt>Begun</dt><dd>${age(Date.now() / 1000 - info.created)} ago</dd></dl>`;
}

export function side(summary, conversation) {
  return html`<div class="stack">${limits(summary, conversation)}${plan(conversation.plan)}${agents(conversation)}${tasks(conversation)}${rules(summary)}${runsOn(summary, conversation)}</div>`;
}

