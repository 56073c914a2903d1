// The way in: a one-time code in the fragment becomes what this device holds. Nothing of it stays.

import {html, nothing} from '../vendor/lit-html/lit-html.js';
import {live} from '../vendor/lit-html/directives/live.js';
import {ask, hasSecret, keep} from './http.js';
import {inert} from './inert.js';
import {logo} from './marks.js';
import {state} from './store.js';
import {note, notes} from './ui.js';

/** Take the code out of the address before anything else sees it, and exchange it. */
export async function enter() {
  const code = /^#?code=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return hasSecret();
  history.replaceState(null, '', location.pathname + location.search);
  return exchange(code);
}

async function exchange(code) {
  try {
    const {secret, device} = await ask('POST', 'login', {code});
    keep(secret, device.name);
    state.withdrawn = false;
    return true;
  } catch (error) {
    note('login', {problem: error.status ? error.message : 'The server does not answer.'});
    return hasSecret();
  }
}

/** What a device sees that has no way in, or none any more. */
export function door(begin) {
  const {problem = '', code = ''} = notes('login');
  const press = async (event) => {
    event.preventDefault();
    const typed = (notes('login').code ?? '').trim().split('code=').at(-1);
    if (typed && await exchange(typed)) begin();
  };
  return html`<main class="narrow door"><h1 class="row">${logo()} midflight</h1>
    <p>${state.withdrawn ? 'This device was withdrawn, or its time is over. Open a new link.' : 'This page opens by a link, once for each device.'}</p>
    <p class="ink2">On the machine where it runs: <code>midflight serve --link NAME</code></p>
    <form class="stack" @submit=${press}><label class="field">The link, or its code<input autocomplete="off" spellcheck="false" .value=${live(code)} @input=${(event) => note('login', {code: event.target.value})}></label><span><button class="act">Open</button></span></form>
    ${problem ? html`<p class="fail" role="alert">${inert(problem)}</p>` : nothing}</main>`;
}
