// The parts of a session's stream, each painted again only when it has changed.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {guard} from '../vendor/lit-html/directives/guard.js';
import {repeat} from '../vendor/lit-html/directives/repeat.js';
import {filesOf, unified} from './difftext.js';
import {deviceName} from './http.js';
import {exact, exactLine, hiddenIn, inert} from './inert.js';
import {markdown} from './markdown.js';
import {icon, mark} from './marks.js';
import {settledWords} from './request.js';
import {isLost} from './store.js';
import {fold, looks, notes} from './ui.js';
import {because, below, by, clock, count, dollars, exactTime, retried, running, took} from './words.js';

const ICONS = {read: 'file', edit: 'edit', execute: 'command', search: 'search', fetch: 'globe', other: 'tool'};
const LIVE_LINES = 5;
const LAST_LINES = 20;
const PAGE_LINES = 500;
const CHILDREN = 40; // of a sub-agent's lines

/** Painted once a second while it runs, for its clock; else only when it has changed. */
function clockOf(block) {
  const runs = block.live || block.state === 'running' || block.children;
  return runs && !isLost() ? Math.floor(Date.now() / 1000) : 0;
}

/** The lines of a stream, see `gathered`. */
export function blockList(lines, context) {
  return repeat(lines, (each) => each.id, (each) => (each.group
    ? guard([each.blocks.map((one) => one.v).join(), looks(), clockOf(each.blocks.at(-1))], () => group(each, context))
    : guard([each.v, looks(), clockOf(each)], () => framed(each, context))));
}

/** A block that a search finds; the frame itself has no looks. */
function framed(block, context) {
  return html`<div class="block" data-block=${block.id}>${one(block, context)}</div>`;
}

/** Unfold all that a block stands in, and that part of it in which an event of this type says a text. */
export function unfold(conversation, block, type = '', text = '') {
  const parent = block.parent ? conversation.calls.get(block.parent) : null;
  if (parent) {
    fold(`${parent.id} children`, {lines: Infinity});
    unfold(conversation, parent);
  }
  const group = gathered(parent?.children ?? conversation.blocks).find((each) => each.group && each.blocks.includes(block));
  if (group) fold(group.id, {open: true});
  if (block.kind === 'thinking' || block.kind === 'tool') fold(block.id, {open: true});
  if (type === 'tool.started' && !`${block.name} ${block.title}`.toLowerCase().includes(text.toLowerCase())) fold(`${block.id} input`, {open: true});
  if (type === 'tool.ended') fold(`${block.id} output`, {lines: Infinity});
}

function isQuiet(block) {
  return block.kind === 'tool' && ['read', 'search'].includes(block.what) && block.state !== 'failed' && !block.asks && !block.children;
}

/** Blocks as the lines that show them: calls in a row that only read are one, `{id, group, blocks}`. */
export function gathered(blocks) {
  const shown = [];
  for (const block of blocks) {
    const last = shown.at(-1);
    if (!isQuiet(block)) shown.push(block);
    else if (last?.group) last.blocks.push(block);
    else if (last && isQuiet(last)) shown[shown.length - 1] = {id: `group ${last.id}`, group: true, blocks: [last, block]};
    else shown.push(block);
  }
  return shown;
}

function group(each, context) {
  const {blocks} = each;
  const reads = blocks.filter((block) => block.what === 'read').length;
  const searches = blocks.length - reads;
  const words = [reads && `Read ${count(reads, 'file')}`, searches && `${reads ? 'searched' : 'Searched'} ${searches === 1 ? 'once' : searches === 2 ? 'twice' : `${searches} times`}`].filter(Boolean).join(', ');
  const runs = blocks.some((block) => block.state === 'running');
  const spent = blocks.reduce((sum, block) => sum + (block.ended ? block.ended - block.time : 0), 0);
  return html`<details class="tool" ?open=${Boolean(notes(each.id).open)} @toggle=${(event) => toggled(event, each.id)}>
    <summary>${icon('chevron', 'chevron')}${runs ? mark('running') : icon('search')}<span class="name">${words}</span><code class="argument grow cut">${exactLine(below(blocks.at(-1).title, context.cwd))}</code><span class="state">${took(spent)}</span></summary>
    <div class="inside">${notes(each.id).open ? blocks.map((block) => framed(block, context)) : nothing}</div></details>`;
}

function toggled(event, id) {
  if (event.target !== event.currentTarget) return;
  const open = event.currentTarget.open;
  if (notes(id).open !== open) fold(id, {open});
}

function one(block, context) {
  return VIEWS[block.kind]?.(block, context) ?? nothing;
}

const VIEWS = {
  text(block) {
    if (block.withdrawn) return html`<div class="prose withdrawn">${inert(block.text)}</div>`;
    return html`<div class="prose ${block.live ? 'caret' : ''}">${markdown(block)}</div>`;
  },
  thinking(block) {
    const open = notes(block.id).open ?? false;
    return html`<details class="fold" ?open=${open} @toggle=${(event) => toggled(event, block.id)}>
      <summary>${icon('chevron', 'chevron')}${icon('think')}<span class="strong">${block.live ? 'Thinks' : 'Thought'}</span><span class="grow"></span><span class="small ink2">${block.live ? running(Date.now() / 1000 - block.time) : took(block.took ?? 0)}</span></summary>
      ${open ? html`<div class="output ink2"><div>${inert(block.text)}</div></div>` : nothing}</details>`;
  },
  tool,
  message,
  turn(block) {
    return html`<div class="turn-line" role="separator"><span>Turn ${block.number} · <time title=${exactTime(block.time)}>${clock(block.time)}</time>${block.origin === 'background' ? ' · begun by the agent itself' : nothing}</span></div>`;
  },
  end,
  closed(block) {
    return html`<div class="end-box">${mark('ended')}<span class="grow"><b>${block.reason === 'host_died' ? 'The host of this session died.' : `The session ended: ${because(block.reason)}.`}</b><br><span class="ink2">${clock(block.time)}. Its conversation is kept: a message goes on with it.</span></span></div>`;
  },
  decision(block, context) {
    const {state: is, head, rest, asked} = settledWords({request: block.asked ?? {effects: []}, resolved: block.resolved, mine: null});
    const effect = block.asked?.effects?.[0];
    const answers = Object.values(block.resolved.answers ?? {}).flat().join(', ');
    const what = effect?.command?.split('\n')[0] ?? effect?.path ?? effect?.url ?? answers;
    return html`<p class="fact">${mark(is)}<span><b>${head}</b> ${inert(rest)}${block.asked ? html`: ${what ? html`<code>${exactLine(below(what, context.cwd))}</code>` : asked}` : nothing}${block.resolved.rule && block.resolved.by === 'user' ? html`, and <code>${exactLine(block.resolved.rule)}</code> for this session` : nothing}</span></p>`;
  },
  retry(block) {
    const {retry} = block;
    return html`<p class="fact run">${mark('retry')}<span class="medium">Tries again (${retry.attempt}) in ${retry.delay_s.toFixed(0)} s: ${inert(retried(retry))}.</span></p>`;
  },
  stalled(block) {
    return html`<p class="fact">${icon('clock')}<span>Silent for ${block.silent.toFixed(0)} s. Nothing has come from the agent.</span></p>`;
  },
  held(block) {
    const {limit} = block;
    if (limit.at === null) return html`<p class="fact">${mark('held')}<span>Usage limit reached${limit.resets_at ? `; it resets at ${clock(limit.resets_at)}` : ''}.</span></p>`;
    return html`<div class="held-box">${mark('held')}<span class="grow"><b>Usage limit reached. Goes on by itself at ${clock(limit.at)}.</b><br>The account's limit, not this session's. Send a message to go on at once.${limit.give_up_at ? ` It gives up at ${clock(limit.give_up_at)}.` : ''}</span></div>`;
  },
  limits(block) {
    const words = Object.entries(block.limits).map(([name, value]) => `${name} ${value}`).join(', ');
    return html`<p class="fact">${icon('shield')}<span>Limits: ${inert(words || 'none')}</span></p>`;
  },
  notice(block) {
    return html`<p class="fact ${block.level === 'error' ? 'fail' : ''}">${block.level === 'info' ? icon('talk') : mark('failed', block.level)}<span>${inert(block.text)}</span></p>`;
  },
  fact(block) {
    return html`<p class="fact">${icon(block.icon)}<span>${inert(block.text)}</span></p>`;
  },
};

function end(block) {
  const {result} = block;
  const facts = [count(result.steps, 'step'), running(result.duration_s), dollars(result.cost_usd), result.total_cost_usd !== result.cost_usd && result.total_cost_usd !== null ? `${dollars(result.total_cost_usd)} in all` : ''].filter(Boolean).join(' · ');
  if (result.status === 'completed') return html`<div class="turn-line" role="separator"><span>Turn ${result.turn} done · ${facts}</span></div>`;
  if (result.status === 'interrupted') return html`<p class="fact">${mark('ended')}<span>Turn ${result.turn} ended <b>interrupted: ${because(result.reason)}</b>. ${facts}</span></p>`;
  const failed = result.status === 'failed';
  return html`<div class="end-box ${failed ? 'failed' : ''}">${mark(failed ? 'failed' : 'limit')}<span class="grow"><b>${failed ? 'Turn' : 'Limit in turn'} ${result.turn}${failed ? ' failed' : ''}: ${because(result.reason)}.</b><br>${result.text && failed ? html`<span>${inert(result.text)}</span><br>` : nothing}<span class="ink2">${facts}. Work so far is in the diff.</span></span></div>`;
}

// Messages -----------------------------------------------------------------------------------

/** What a message says of itself: `{mark, word, colour}`. */
export function receipt(block) {
  const at = block.at ? clock(block.at, true) : '';
  switch (block.state) {
    case 'unsent': return {mark: 'unsent', word: block.problem || 'Not sent yet: the page has it, the server has not'};
    case 'accepted': return {mark: 'pending', word: `Accepted ${clock(block.accepted, true)}`};
    case 'started': return {mark: 'half', word: `Started turn ${block.by} at ${at}`, colour: 'run'};
    case 'steered': return {mark: 'half', word: `Steered: read at ${at}`, colour: 'run'};
    case 'answered': return {mark: 'answered', word: `Answered by turn ${block.by}, ${at}`, colour: 'done'};
    case 'cancelled': return {mark: 'ended', word: `Cancelled: ${because(block.reason)}`};
    default: return {mark: 'failed', word: `Failed: ${because(block.reason)}`, colour: 'fail'};
  }
}

function message(block, context) {
  const says = receipt(block);
  const who = block.who?.role === 'agent' ? 'Agent' : block.who?.role === 'program' ? 'Program' : block.who ? 'You' : 'midflight';
  const back = ['cancelled', 'failed'].includes(block.state);
  return html`<div class="message"><span class="who">${who}</span><div class="text">${inert(block.text)}${block.images?.length ? html`<p class="small ink2">${block.images.map((image) => html`${icon('file')} ${exactLine(image.name || 'image')}, ${image.media_type}, ${Math.ceil(image.bytes / 1024)} kB `)}</p>` : nothing}</div>
    <div class="receipt ${says.colour ?? ''}">${mark(says.mark, '')}<span>${says.word}</span>${block.who && by(block.who, deviceName()) ? html`<span class="ink3">by ${by(block.who, deviceName())}</span>` : nothing}${back ? html`<button class="link" @click=${() => context.putBack(block.text)}>Put back</button>` : nothing}</div></div>`;
}

// Tool calls ---------------------------------------------------------------------------------

function isOpen(block) {
  return notes(block.id).open ?? (block.state === 'running' && (block.output !== '' || Boolean(block.children))) ?? false;
}

function toolState(block) {
  if (block.asks) return html`<span class="wait medium">asks you, below</span>`;
  const spent = block.ended ? took(block.ended - block.time) : running(Date.now() / 1000 - block.time);
  const steps = block.steps ? ` · ${count(block.steps, 'step')}` : '';
  if (block.state === 'running') return html`<span class="run medium">running ${spent}</span>${steps}`;
  const bad = {failed: html`<b class="fail">failed</b> `, denied: html`<b>denied</b> `, cancelled: html`<b>cancelled</b> `}[block.state] ?? nothing;
  return html`${bad}${changesOf(block)}${spent}${steps}`;
}

function changesOf(block) {
  const edits = (block.effects ?? []).filter((effect) => effect.type === 'edit');
  if (!edits.length) return nothing;
  const files = edits.flatMap(filesOf);
  return html`<span class="plus">+${files.reduce((sum, file) => sum + file.plus, 0)}</span> <span class="minus">−${files.reduce((sum, file) => sum + file.minus, 0)}</span> `;
}

function tool(block, context) {
  const open = notes(block.id).open ?? (block.state === 'failed' || isOpen(block));
  const sign = block.asks ? mark('waits') : block.state === 'running' ? mark('running') : block.state === 'failed' ? mark('failed') : block.children ? mark('done') : icon(ICONS[block.what] ?? 'tool');
  return html`<details class="tool" ?open=${open} @toggle=${(event) => toggled(event, block.id)}>
    <summary>${icon('chevron', 'chevron')}${sign}<span class="name">${block.children ? html`Sub-agent: ${exactLine(block.title || block.name)}` : exactLine(block.name)}</span>${block.children ? nothing : html`<code class="argument grow cut">${exactLine(below(block.title, context.cwd))}</code>`}<span class="state">${toolState(block)}</span></summary>
    ${open ? html`<div class="inside">${block.children ? children(block, context) : nothing}${inside(block)}</div>` : nothing}</details>`;
}

/** What a sub-agent does: its last lines, until a person wants all. */
function children(block, context) {
  const lines = gathered(block.children);
  const key = `${block.id} children`;
  const {lines: most = CHILDREN} = notes(key);
  return html`<div class="sub">${lines.length > most ? html`<button class="link" @click=${() => fold(key, {lines: Infinity})}>Show all ${lines.length}</button>` : nothing}${blockList(lines.slice(-most), context)}</div>`;
}

function inside(block) {
  const edits = (block.effects ?? []).filter((effect) => effect.type === 'edit');
  const input = edits.length ? edits.map((effect) => html`<div class="effect"><div class="body">${filesOf(effect).map((file) => unified(file))}</div></div>`)
    : block.children ? nothing : html`<details class="fold" ?open=${notes(`${block.id} input`).open ?? false} @toggle=${(event) => toggled(event, `${block.id} input`)}><summary>${icon('chevron', 'chevron')}<span class="small ink2">Input</span></summary>${notes(`${block.id} input`).open ? html`<pre class="output">${exact(JSON.stringify(block.input, null, 2))}</pre>` : nothing}</details>`;
  return html`${input}${output(block)}`;
}

function output(block) {
  if (!block.output) return nothing;
  const lines = block.output.replace(/\n$/, '').split('\n');
  if (block.state === 'running') return html`<div class="output live"><pre>${inert(lines.slice(-LIVE_LINES).join('\n'))}</pre></div>`;
  const shown = notes(`${block.id} output`).lines ?? LAST_LINES;
  const hidden = hiddenIn(block.output);
  const says = [lines.length > shown ? `${count(lines.length, 'line')}, the last ${shown} are shown.` : '', hidden ? `${count(hidden, 'invisible character')} shown as U+…` : ''].filter(Boolean).join(' ');
  return html`<pre class="output" tabindex="0">${exact(lines.slice(-shown).join('\n'))}</pre>
    ${says ? html`<div class="below"><span class="grow">${says}</span>${lines.length > shown ? html`<button class="link" @click=${() => fold(`${block.id} output`, {lines: shown + PAGE_LINES})}>Show ${lines.length > shown + PAGE_LINES ? 'more' : 'all'}</button>` : nothing}</div>` : nothing}`;
}
