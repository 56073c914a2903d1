// While you look elsewhere: the tab's title, its icon, and notifications that never say what is in it.

import {asks} from './effects.js';
import {plain} from './inert.js';
import {isSeen, tells} from './places.js';
import {all, waiting} from './store.js';
import {go} from './ui.js';
import {sessionPath} from './paths.js';

const told = new Set();
let known = false;
let counted = null; // what the title says

/** Show in title and icon how many sessions wait. */
export function showCount() {
  const open = waiting();
  const sessions = new Set(open.map((entry) => entry.summary.id)).size;
  if (sessions !== counted) tell(sessions);
  notify(open);
}

function tell(sessions) {
  counted = sessions;
  document.title = sessions ? `(${sessions}) midflight` : 'midflight';
  const icon = document.getElementById('icon');
  const href = sessions ? 'icon-waits.svg' : 'icon.svg';
  if (icon.getAttribute('href') !== href) icon.setAttribute('href', href);
  navigator.setAppBadge?.(sessions).catch(() => {});
}

/** Tell of requests that came while the page is not looked at, in one tab of it; those that stood there at the start are no news. */
function notify(open) {
  const fresh = open.filter((entry) => !told.has(entry.request.request));
  for (const {request} of fresh) told.add(request.request);
  if (!known) {
    known = all().length > 0;
    return;
  }
  if (isSeen() || !tells() || !granted()) return;
  for (const {summary, request} of fresh) {
    const link = `${sessionPath(summary)}?request=${encodeURIComponent(request.request)}`;
    const text = `${plain(summary.info.name, 60)} ${asks(request)}`;
    navigator.serviceWorker?.ready.then((worker) => worker.showNotification(text, {tag: request.request, data: {link}})).catch(() => shown(text, request, link));
  }
}

function shown(text, request, link) {
  try {
    const notification = new Notification(text, {tag: request.request});
    notification.onclick = () => {
      window.focus();
      go(link);
      notification.close();
    };
  } catch {
    // Phones show them by a worker only.
  }
}

function granted() {
  return 'Notification' in window && Notification.permission === 'granted';
}

export function mayTell() {
  return isSecureContext && 'Notification' in window && Notification.permission === 'default';
}

export async function tellMe() {
  await Notification.requestPermission();
}

export function tellHint() {
  if (granted()) return 'You are told on this device when the page is not in sight.';
  if ('Notification' in window && isSecureContext) return 'This browser was told not to notify you; its settings change that.';
  return 'Notifications need HTTPS or this machine itself; midflight serve --notify URL tells you elsewhere, with a link to this page.';
}

/** What shows notifications on phones, and brings the page to the front at a press. */
export function beginWorker() {
  if (!('serviceWorker' in navigator) || !isSecureContext) return;
  const policy = window.trustedTypes?.createPolicy('midflight-worker', {createScriptURL: (url) => (url === 'worker.js' ? url : '')});
  navigator.serviceWorker.register(policy ? policy.createScriptURL('worker.js') : 'worker.js').catch(() => {});
  navigator.serviceWorker.addEventListener('message', (event) => {
    if (typeof event.data?.link === 'string') go(event.data.link);
  });
}
