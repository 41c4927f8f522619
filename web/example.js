// A whole listener. Tribune's library is /web/tribune.js; see there for what else there is.
import { connect } from './tribune.js';

const form = document.querySelector('#enter');
const state = document.querySelector('#state');
const stage = document.querySelector('#stage');

form.onsubmit = async (event) => {
  event.preventDefault();
  try {
    const room = await connect({ room: form.room.value, name: 'Example' });
    const show = () => {
      stage.replaceChildren(...room.stage.map(({ name, track }) => {
        const item = document.createElement('li');
        Object.assign(item, { textContent: name, id: `track-${track}` });
        return item;
      }));
    };
    room.addEventListener('stage', show);
    room.addEventListener('levels', ({ detail }) => {
      for (const item of stage.children) item.style.opacity = detail.get(Number(item.id.slice(6)))?.speaking ? 1 : 0.5;
    });
    room.addEventListener('state', ({ detail }) => (state.textContent = detail.why?.message ?? detail.state));
    show();
    await room.listen();
    state.textContent = 'You are listening.';
  } catch (error) {
    state.textContent = error.message;
  }
};
