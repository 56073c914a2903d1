// The words and figures of the page: the same as in the terminal.

const KINDS = {claude: 'Claude Code', opencode: 'OpenCode', opencode2: 'OpenCode 2', fake: 'fake'};

/** The name of an agent for a person. */
export function agentName(agent) {
  return KINDS[agent] ?? agent;
}

/** US dollars; unknown is said, never 0. `about` marks an estimate. */
export function dollars(usd, about = false) {
  if (usd === null || usd === undefined) return 'cost unknown';
  const text = usd > 0 && usd < 0.01 ? '<$0.01' : `$${usd.toFixed(2)}`;
  return about ? `~${text}` : text;
}

/** A span of time while it runs: 0:31, 18:40, 1:12 h. */
export function running(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 3600) return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`;
  return `${Math.floor(s / 3600)}:${String(Math.floor(s / 60) % 60).padStart(2, '0')} h`;
}

/** How long ago, or how long something has waited: 31 s, 4 min, 2 h, 3 days. */
export function age(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} days`;
}

/** How long something took: 0.1 s, 22 s, 1:48. */
export function took(seconds) {
  return seconds < 10 ? `${seconds.toFixed(1)} s` : seconds < 60 ? `${Math.floor(seconds)} s` : running(seconds);
}

/** A time of day where the person is, with the date if that is not today's. */
export function clock(at, seconds = false) {
  const then = new Date(at * 1000);
  const time = then.toLocaleTimeString('en-GB', {hour: '2-digit', minute: '2-digit', ...(seconds && {second: '2-digit'})});
  return then.toDateString() === new Date().toDateString() ? time : `${then.toLocaleDateString('en-CA')} ${time}`;
}

/** The exact time, for a title. */
export function exactTime(at) {
  return new Date(at * 1000).toLocaleString();
}

export function count(number, word, many = `${word}s`) {
  return `${number.toLocaleString('en')} ${number === 1 ? word : many}`;
}

/** A path as a person reads it: from the session's folder, or the folder's own name. */
export function below(path, cwd) {
  return cwd && path.startsWith(`${cwd}/`) ? path.slice(cwd.length + 1) : path;
}

export function folderName(path) {
  return path.split('/').filter(Boolean).at(-1) ?? '/';
}

const REASONS = {
  max_turns: 'all steps are used',
  max_budget: 'the budget is used',
  timeout: 'its time was over',
  stalled: 'the agent was silent for too long',
  api_error: "the model's service failed",
  auth: "the model's service refuses the key",
  refusal: 'the model refused',
  max_tokens: "the answer was longer than the model's limit",
  context_full: 'the conversation does not fit any more',
  agent_died: 'the agent died',
  host_died: 'its host died',
  agent_error: 'the agent failed',
  interrupted: 'it was stopped',
  redirected: 'it was redirected',
  denied: 'a call was denied',
  parked: 'it rests',
  waiting: 'it waits for a worker',
  usage_limit: 'the usage limit is reached',
};

/** Why a turn or a message ended. */
export function because(reason) {
  return REASONS[reason] ?? String(reason).replaceAll('_', ' ');
}

const RETRIED = {
  connection_lost: 'no connection to the model',
  overloaded: 'overloaded',
  rate_limit: 'too many requests',
  server_error: "the model's service failed",
};

/** Why the model is asked again. */
export function retried(event) {
  const why = RETRIED[event.error] ?? event.error ?? '';
  return event.status ? `${why || 'it failed'} (${event.status})` : why || 'it failed';
}

/** Who sent or answered something. */
export function by(who, here = '') {
  if (!who) return '';
  if (who.role === 'agent') return 'an agent';
  if (who.door === 'schedule') return 'a schedule';
  if (here && who.device === here && who.door === 'page') return 'you on this page';
  if (who.door === 'page') return who.device ? `you from ${who.device}` : 'you on a page';
  if (who.role === 'user') return who.door === 'terminal' ? 'you in the terminal' : 'you by a command';
  return 'a program';
}

const MODES = {
  default: 'Read and search. Asks before edits and commands.',
  acceptEdits: 'Also edit files in the folder.',
  plan: 'Changes nothing, makes a plan.',
  dontAsk: 'Only what you allow below. Never asks.',
  bypassPermissions: 'Everything, without asking.',
};

export function modes() {
  return Object.entries(MODES);
}
