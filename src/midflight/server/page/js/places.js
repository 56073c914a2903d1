// Which tabs hold a stream. A browser opens six connections to a server, for all of its tabs together,
// and a stream keeps one. So the tabs share a few places: one that is seen takes any that is free, a
// hidden one only the first, so that somebody tells of what comes while nobody looks.

const PLACES = [1, 2, 3, 4].map((number) => `midflight.stream.${number}`);

let held = null; // `{name, leave}`

export function isSeen() {
  return document.visibilityState === 'visible';
}

function take(name) {
  return new Promise((resolve) => {
    const wait = (lock) => lock && new Promise((leave) => resolve({name, leave}));
    navigator.locks.request(name, {ifAvailable: true}, wait).then(() => resolve(null));
  });
}

/** Take a place if there is one for this tab, and leave one that is not for it any more. */
export async function takePlace() {
  if (!navigator.locks) return isSeen(); // browsers have them with HTTPS and on the machine itself
  const open = isSeen() ? PLACES : PLACES.slice(0, 1);
  if (held && !open.includes(held.name)) {
    held.leave();
    held = null;
  }
  for (const name of open) held ??= await take(name);
  return held !== null;
}

/** Whether this is the tab that tells of what comes while it is hidden. */
export function tells() {
  return held?.name === PLACES[0];
}
