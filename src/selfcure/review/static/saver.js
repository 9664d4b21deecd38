// Decisions on their way to the server: one at a time and in order, again and again until they are saved.
//
// Each has a name of its own, so one that was saved though its answer got lost is not saved twice. What is not saved yet
// is also kept by the browser, so a page that is closed or reloaded sends it when it is opened again.

import { post } from "./api.js";
import { newId } from "./dom.js";

const LONGEST_WAIT_MS = 15000;

export class Saver {
  #jobs = [];
  #busy = false;
  #wait = 1000;
  #timer = null;
  #key;
  #changed;

  /** @param changed called with {waiting, error} whenever one of them is another. */
  constructor(version, changed) {
    this.#changed = changed;
    const prefix = `selfcure-unsaved:${version}:`;
    this.#key = prefix + newId();
    for (const key of Object.keys(localStorage).filter((name) => name.startsWith(prefix))) {
      for (const { path, body } of JSON.parse(localStorage.getItem(key))) this.#jobs.push({ path, body });
      localStorage.removeItem(key);
    }
    this.#keep();
    addEventListener("beforeunload", (event) => {
      if (this.waiting) event.preventDefault();
    });
    addEventListener("online", () => this.now());
    this.#go();
  }

  get waiting() {
    return this.#jobs.length;
  }

  /** Save `body` at `path`; `done` gets the answer, `refused` the error of something the server will never take. */
  push(path, body, done, refused) {
    this.#jobs.push({ path, body: { ...body, action: newId() }, done, refused });
    this.#keep();
    this.#go();
  }

  /** Try again at once. */
  now() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#go();
  }

  async #go() {
    if (this.#busy || this.#timer || !this.#jobs.length) return;
    this.#busy = true;
    this.#changed({ waiting: this.waiting, error: null });
    const job = this.#jobs[0];
    let error = null;
    let after = null;
    try {
      const answer = await post(job.path, job.body);
      after = () => job.done?.(answer);
    } catch (problem) {
      const final = problem.status >= 400 && problem.status < 500 && ![401, 403, 408, 429].includes(problem.status);
      if (final) after = () => job.refused?.(problem);
      else error = problem.status ? problem.message : "the server does not answer";
    }
    if (after) this.#finish();
    this.#busy = false;
    this.#changed({ waiting: this.waiting, error });
    after?.();
    if (!error) return this.#go();
    this.#timer = setTimeout(() => this.now(), this.#wait);
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
  }

  #finish() {
    this.#jobs.shift();
    this.#wait = 1000;
    this.#keep();
  }

  #keep() {
    if (!this.#jobs.length) return localStorage.removeItem(this.#key);
    localStorage.setItem(this.#key, JSON.stringify(this.#jobs.map(({ path, body }) => ({ path, body }))));
  }
}
