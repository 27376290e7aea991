// Exports three spans with a stock exporter: node export.mjs json|protobuf none|gzip URL
// The folder that the packages stand in is named by NODE_PACKAGES, since modules are not looked up along NODE_PATH.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_PACKAGES}/`);
const { BasicTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const [, , encoding, compression, url] = process.argv;
const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${encoding === "json" ? "http" : "proto"}`);

const exporter = new OTLPTraceExporter({ url: `${url}/v1/traces`, compression });
const answers = [];
const send = exporter.export.bind(exporter);
exporter.export = (spans, done) => send(spans, (result) => { answers.push(result.code); done(result); });
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": "node" }),
  spanProcessors: [new SimpleSpanProcessor(exporter)],
});
for (const name of ["first", "second", "third"]) {
  const span = provider.getTracer("test").startSpan(`${encoding}-${compression}-${name}`);
  span.setAttributes({ text: "ünï", whole: 7, real: 0.5, flag: true, list: ["a", "b"] });
  span.addEvent("happened", { at: 1 });
  span.end();
}
await provider.forceFlush();
await provider.shutdown();
console.log(JSON.stringify(answers)); // 0 is success
