// Requests to the codec's worker, as promises.

/** Where a request was ended by `stop`. */
export const STOPPED = Symbol("stopped");

export class CodecWorker {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  #open = new Map();
  #requests = 0;

  constructor() {
    this.#worker.onmessage = ({ data }) => this.#take(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const error = Error(`The codec could not be started: ${event.message ?? "worker.js was not loaded"}.`);
      for (const { reject } of this.#open.values()) reject(error);
      this.#open.clear();
    };
  }

  /** Its answer; `report` is called with the share that is done, where that is told. */
  ask(request, given = {}, report = () => {}) {
    const id = this.#requests++;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject, report });
      this.#worker.postMessage({ id, request, ...given });
    });
  }

  /** End the clip that is being coded: its request gives STOPPED. */
  stop() {
    this.#worker.postMessage({ request: "stop" });
  }

  #take({ id, progress, answer, error }) {
    const request = this.#open.get(id);
    if (!request) return;
    if (progress !== undefined) return request.report(progress);
    this.#open.delete(id);
    if (error !== undefined) request.reject(Error(`The codec failed: ${error}`));
    else request.resolve(answer.stopped ? STOPPED : answer);
  }
}
