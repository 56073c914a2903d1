// One session in full: a fold of its events into the blocks that its screen shows, in their order.

const LIVE_CHARS = 20_000; // of what a running command has put out; its end brings all of it

/**
 * A block is `{id, kind, v, …}`; `v` grows whenever the block, or one inside it, has changed, so
 * that only that one is painted again. The fold may begin anywhere: what came before is not there.
 */
export class Conversation {
  constructor() {
    this.blocks = [];
    this.waiting = []; // messages that the agent has not read, in their order
    this.plan = [];
    this.tasks = new Map();
    this.turn = null; // {number, since, steps, usage}
    this.agents = []; // the sub-agents of the last turn
    this.last = 0; // the newest event that is folded in
    this.calls = new Map();
    this.messages = new Map();
    this.requests = new Map();
    this.live = new Map(); // by parent: the block that streams
    this.places = new Map(); // by event: the block that shows it
    this.accepted = 0;
    this.isWhole = false; // it began with the session's first event
    this.made = 0; // blocks that began with no event of a number
    this.now = {seq: null, blocks: 0}; // the event that is folded in
  }

  /** Fold in one event; one that is there already counts once. */
  take(event) {
    if (event.seq !== null) {
      if (event.seq <= this.last) return;
      this.isWhole ||= event.seq === 1;
      this.last = event.seq;
    }
    this.now = {seq: event.seq, blocks: 0};
    FOLDS[event.type]?.call(this, event);
  }

  add(event, kind, fields) {
    const block = {id: this.newId(), kind, v: 0, time: event.time, seq: event.seq, parent: event.parent, ...fields};
    const inside = event.parent ? this.calls.get(event.parent) : null;
    if (inside) {
      if (!inside.children) {
        inside.children = [];
        this.agents.push(inside);
      }
      inside.children.push(block);
    } else this.blocks.push(block);
    this.touch(block);
    return block;
  }

  /** The same in each fold of the same events: what is folded on the screen goes by it. */
  newId() {
    const {now} = this;
    return now.seq === null ? `live ${(this.made += 1)}` : `${now.seq}.${(now.blocks += 1)}`;
  }

  /** Mark a block, and all that it stands in, as changed. */
  touch(block) {
    if (this.now.seq !== null) this.places.set(this.now.seq, block);
    for (let each = block; each; each = each.parent ? this.calls.get(each.parent) : null) each.v += 1;
  }

  change(block, fields) {
    if (!block) return;
    Object.assign(block, fields);
    this.touch(block);
  }

  stream(event, kind) {
    const key = event.parent ?? '';
    let block = this.live.get(key);
    if (block?.kind !== kind) {
      block = this.add(event, kind, {text: '', live: true});
      this.live.set(key, block);
    }
    this.change(block, {text: event.so_far ? event.text : block.text + event.text});
  }

  whole(event, kind) {
    const key = event.parent ?? '';
    const block = this.live.get(key);
    this.live.delete(key);
    if (block?.kind === kind) this.change(block, {text: event.text, live: false, took: event.time - block.time});
    else if (event.text) this.add(event, kind, {text: event.text, live: false});
  }

  /** The blocks among which one of this event stands. */
  beside(event) {
    return (event.parent && this.calls.get(event.parent)?.children) || this.blocks;
  }

  /** The call that asks a question: no agent tells which of them it is. */
  asker(event) {
    return [...this.calls.values()].findLast((call) => call.state === 'running' && call.parent === event.parent && /question/i.test(call.name));
  }

  /** What streams, as the events that bring it back into another fold. */
  unfinished() {
    const texts = [...this.live.values()].map(({kind, parent, time, text}) => ({type: `${kind}.delta`, parent, time, text}));
    const running = [...this.calls.values()].filter((call) => call.state === 'running' && call.output);
    const outputs = running.map(({parent, call, heard, output}) => ({type: 'tool.progress', parent, call, time: heard, text: output}));
    return [...texts, ...outputs].map((event) => ({...event, seq: null, so_far: true}));
  }

  /** A message leaves the line of those that wait, and stands in the stream. */
  read(event, state) {
    const message = this.messages.get(event.message);
    this.waiting = this.waiting.filter((one) => one.message !== event.message);
    if (!message) return;
    const facts = {state, at: event.time, by: event.turn, reason: event.reason ?? ''};
    if (message.block) this.change(message.block, facts);
    else message.block = this.add({...event, parent: null}, 'message', {...message, ...facts, block: null});
    for (const seq of message.said) this.places.set(seq, message.block);
  }

  /** What still runs when a turn ends runs no more. */
  settle(event) {
    for (const block of this.live.values()) this.change(block, {live: false, withdrawn: event.status !== 'completed'});
    this.live.clear();
    for (const call of this.calls.values()) if (call.state === 'running') this.change(call, {state: 'cancelled', ended: event.time});
  }
}

const FOLDS = {
  'session.started'(event) {
    this.agent = event;
    for (const problem of event.problems ?? []) this.add(event, 'notice', {level: 'warning', text: problem});
  },
  'session.ended'(event) {
    this.settle({...event, status: 'completed'});
    this.waiting = [];
    if (!['parked', 'waiting'].includes(event.reason)) this.add(event, 'closed', {reason: event.reason});
  },
  'message.accepted'(event) {
    this.accepted += 1;
    const message = {message: event.message, number: this.isWhole ? this.accepted : null, said: [event.seq], text: event.text, delivery: event.delivery, who: event.who, images: event.images, accepted: event.time, state: 'accepted', block: null};
    this.messages.set(event.message, message);
    this.waiting.push(message);
  },
  'message.changed'(event) {
    const message = this.messages.get(event.message);
    if (!message) return;
    Object.assign(message, {text: event.text, delivery: event.delivery});
    message.said.push(event.seq);
    const rest = this.waiting.filter((one) => one !== message);
    const at = rest.findIndex((one) => one.message === event.before);
    rest.splice(at < 0 ? rest.length : at, 0, message);
    this.waiting = rest;
  },
  'message.started'(event) { this.read(event, 'started'); },
  'message.steered'(event) { this.read(event, 'steered'); },
  'message.answered'(event) { this.read(event, 'answered'); },
  'message.cancelled'(event) { this.read(event, 'cancelled'); },
  'message.failed'(event) { this.read(event, 'failed'); },
  'turn.started'(event) {
    this.turn = {number: event.turn, since: event.time, steps: 0, usage: null};
    this.agents = [];
    this.add(event, 'turn', {number: event.turn, origin: event.origin});
  },
  'turn.ended'(event) {
    this.settle(event);
    this.add(event, 'end', {result: event});
    this.turn = null;
  },
  'text.delta'(event) { this.stream(event, 'text'); },
  'text'(event) { this.whole(event, 'text'); },
  'thinking.delta'(event) { this.stream(event, 'thinking'); },
  'thinking'(event) { this.whole(event, 'thinking'); },
  'tool.started'(event) {
    this.live.delete(event.parent ?? '');
    const block = this.add(event, 'tool', {call: event.call, name: event.name, what: event.kind, title: event.title, input: event.input, state: 'running', output: '', ended: null});
    this.calls.set(event.call, block);
  },
  'tool.progress'(event) {
    const call = this.calls.get(event.call);
    if (call?.state === 'running') this.change(call, {output: ((event.so_far ? '' : call.output) + event.text).slice(-LIVE_CHARS), heard: call.heard ?? event.time});
  },
  'tool.ended'(event) {
    const call = this.calls.get(event.call);
    if (call) this.change(call, {state: event.status, output: event.output, ended: event.time});
  },
  'permission.requested'(event) {
    this.requests.set(event.request, event);
    this.change(this.calls.get(event.call), {asks: true, effects: event.effects});
  },
  'permission.resolved'(event) {
    const asked = this.requests.get(event.request);
    this.change(asked && this.calls.get(asked.call), {asks: false});
    this.requests.delete(event.request);
    if (event.by !== 'policy') this.add(event, 'decision', {asked, resolved: event});
  },
  'question.requested'(event) {
    this.requests.set(event.request, event);
    this.change(this.asker(event), {asks: true});
  },
  'question.resolved'(event) {
    const asked = this.requests.get(event.request);
    this.requests.delete(event.request);
    this.change(this.asker(event), {asks: false});
    const block = this.add(event, 'decision', {asked, resolved: event});
    if (asked) this.places.set(asked.seq, block);
  },
  'rule.revoked'(event) { this.add(event, 'fact', {icon: 'shield', text: `No longer allowed: ${event.rule}`}); },
  'limits.changed'(event) { this.add(event, 'limits', {limits: event.limits}); },
  'task.started'(event) { this.tasks.set(event.task, {title: event.title, status: event.status, since: event.time}); },
  'task.ended'(event) {
    const task = this.tasks.get(event.task);
    this.tasks.set(event.task, {since: event.time, ...task, title: event.title || task?.title || '', status: event.status, ended: event.time});
  },
  'plan'(event) { this.plan = event.entries; },
  'usage'(event) {
    if (this.turn) Object.assign(this.turn, {usage: event, steps: this.turn.steps + (event.parent ? 0 : 1)});
    const agent = event.parent && this.calls.get(event.parent);
    if (agent) this.change(agent, {steps: (agent.steps ?? 0) + 1});
  },
  'retry'(event) {
    const key = event.parent ?? '';
    const block = this.live.get(key);
    this.live.delete(key);
    this.change(block, {live: false, withdrawn: true});
    const before = this.beside(event).at(-1);
    if (before?.kind === 'retry') this.change(before, {retry: event});
    else this.add(event, 'retry', {retry: event});
  },
  'stalled'(event) {
    const last = this.blocks.at(-1);
    if (last?.kind === 'stalled') this.change(last, {silent: event.silent_s});
    else this.add(event, 'stalled', {silent: event.silent_s});
  },
  'usage_limit.reached'(event) { this.add(event, 'held', {limit: event}); },
  'notice'(event) { this.add(event, 'notice', {level: event.level, text: event.text}); },
};

/** Fold a list of events anew, for example when older ones have come; `before` was the fold until now. */
export function folded(events, before = null) {
  const conversation = new Conversation();
  for (const event of [...events, ...(before?.unfinished() ?? [])]) conversation.take(event);
  return conversation;
}
