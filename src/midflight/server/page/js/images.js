// Images that go with a message: chosen, pasted or dropped, and seen before they are sent.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {repeat} from '../vendor/lit-html/directives/repeat.js';
import {icon} from './marks.js';
import {state} from './store.js';
import {note, notes} from './ui.js';
import {count} from './words.js';

const TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];
const MOST = 20; // what one message takes, as the server has it
const MOST_BYTES = 3_932_160;
const MOST_TOGETHER = 10_485_760;
const UNNAMED = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069/\\]/gu;

/** The images that go with the next message to a session: `{id, name, type, bytes, url}`. */
export function imagesOf(id) {
  return notes(`images ${id}`).list ?? [];
}

export function keepImages(id, list) {
  note(`images ${id}`, {list});
}

/** Images as a command carries them. */
export function asFields(list) {
  return list.map(({name, url}) => ({name, data: url.slice(url.indexOf(',') + 1)}));
}

/** Whether the session's agent takes images at all, as far as it is known. */
export function takesImages() {
  return state.open?.agent?.capabilities?.images !== 'not';
}

function asUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

let made = 0;

/** Put images to the message that is being written; what cannot be sent says why. */
export async function attach(summary, files) {
  const problems = [];
  const box = `box ${summary.id}`;
  note(box, {reading: (notes(box).reading ?? 0) + 1});
  for (const file of files) {
    const name = file.name.replace(UNNAMED, '_').slice(0, 200);
    const there = imagesOf(summary.id);
    if (!takesImages()) problems.push('This agent takes no images.');
    else if (!TYPES.includes(file.type)) problems.push(`${name} is no PNG, JPEG, GIF or WebP.`);
    else if (file.size > MOST_BYTES) problems.push(`${name} has ${megabytes(file.size)}; ${megabytes(MOST_BYTES)} are the most.`);
    else if (there.length >= MOST) problems.push(`${MOST} images are the most for one message.`);
    else if (there.reduce((sum, one) => sum + one.bytes, file.size) > MOST_TOGETHER) problems.push(`Together they have more than ${megabytes(MOST_TOGETHER)}: send them in several messages.`);
    else {
      try {
        const image = {id: (made += 1), name, bytes: file.size, url: await asUrl(file)};
        keepImages(summary.id, [...imagesOf(summary.id), image]);
      } catch {
        problems.push(`${name} cannot be read.`);
      }
    }
  }
  note(box, {problem: [...new Set(problems)].join(' '), reading: notes(box).reading - 1});
}

function megabytes(bytes) {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** Files among what is pasted or dropped. */
export function filesIn(transfer) {
  return [...(transfer?.files ?? [])];
}

/** What is to go with the message, each small and with a way to leave it out. */
export function thumbs(summary) {
  const list = imagesOf(summary.id);
  if (!list.length) return nothing;
  return html`<ul class="plain thumbs" aria-label=${count(list.length, 'image')}>${repeat(list, (one) => one.id, (one) => html`<li><img src=${one.url} alt=${one.name || 'image'} title=${one.name}><button class="low quiet square" aria-label="Leave out ${one.name || 'the image'}" @click=${() => keepImages(summary.id, list.filter((each) => each !== one))}>${icon('close')}</button></li>`)}</ul>`;
}
