// llama.cpp through node-llama-cpp: `node _llamacpp.mjs FOLDER WORK.json`, FOLDER the one that npm installed it into.
// A sequence a row of one context; every sequence that ends takes the next prompt. Prints what _sampling_peers.py prints.
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const [folder, file] = process.argv.slice(2);
const work = JSON.parse(readFileSync(file, "utf8"));
const entry = createRequire(`${folder}/package.json`).resolve("node-llama-cpp");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry));

const threads = Number(process.env.BENCH_THREADS);
const llama = await getLlama({build: "never", gpu: false, maxThreads: threads, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath: work.gguf});
const rows = Math.min(work.rows, work.prompts.length);
const longest = Math.max(...work.prompts.map((prompt) => prompt.length));
const context = await model.createContext({
    sequences: rows, contextSize: longest + work.new_tokens + 1, batchSize: 2048, threads
});
const began = {cpu: process.cpuUsage(), wall: performance.now()};
const waiting = [...work.prompts];
let tokens = 0;

async function complete(sequence) {
    while (waiting.length > 0) {
        const options = {temperature: work.decode.temperature, topK: work.decode.top_k, topP: work.decode.top_p};
        let drawn = 0;
        for await (const token of sequence.evaluate(waiting.shift(), options)) {
            drawn += 1;
            if (drawn === work.new_tokens || work.ends.includes(token)) break;
        }
        tokens += drawn;
        await sequence.clearHistory();
    }
}

await Promise.all(Array.from({length: rows}, () => complete(context.getSequence())));
const cpu = process.cpuUsage(began.cpu);
console.log(JSON.stringify({
    tokens, cpu_s: (cpu.user + cpu.system) / 1e6, wall_s: (performance.now() - began.wall) / 1e3,
    peak_gb: Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024 / 1e9
}));
process.exit(0);
