// The keyboard, beside Tab and Enter.

import { find } from './dom.js';

export function listen() {
  const search = find('search');
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === '/' && !event.target.closest('input, select, textarea')) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });
  search.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') clear(search);
    if (event.key === 'ArrowDown' && step(null, 1, 'more')) event.preventDefault();
  });
  find('rows').addEventListener('keydown', (event) => {
    const button = event.target.closest('button');
    if (button && inTable(event.key, button)) event.preventDefault();
  });
}

// clear empties the search, or leaves it if it is empty.
function clear(search) {
  if (search.value === '') return search.blur();
  search.value = '';
  search.dispatchEvent(new Event('input'));
}

// inTable goes up and down between the buttons of rows, and opens and closes what a button opens.
function inTable(key, button) {
  const open = button.getAttribute('aria-expanded') === 'true';
  switch (key) {
    case 'ArrowDown': return step(button.closest('tr'), 1, button.dataset.does);
    case 'ArrowUp': return step(button.closest('tr'), -1, button.dataset.does);
    case 'ArrowRight': if (!open) button.click(); return true;
    case 'ArrowLeft': if (open) button.click(); return true;
    default: return false;
  }
}

// step goes to the button that does the same in the next row that has one.
function step(row, by, does) {
  const buttons = [...find('rows').querySelectorAll(`button[data-does="${does}"]`)];
  const at = row ? buttons.findIndex((b) => b.closest('tr') === row) : -1;
  buttons[at + by]?.focus();
  return buttons.length > 0;
}
