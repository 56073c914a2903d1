// Shows no page and keeps nothing: a press on a notification leads to its request.
self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const {link} = event.notification.data ?? {};
  event.waitUntil((async () => {
    const [page] = await self.clients.matchAll({type: 'window', includeUncontrolled: true});
    if (!page) return self.clients.openWindow(`./#/${link}`);
    await page.focus();
    return page.postMessage({link});
  })());
});
