type Json = Record<string, unknown>;
type Operations = Record<string, { responses: Record<string, Json> }>;

/** Takes what is there more than once to the components, under a name, and leaves a reference to it. */
const createComponents = (section: string) => {
  const names = new Map<string, string>();
  const components: Json = {};
  return {
    components,
    /** @param called What it is named by; others of that name are told apart by a number. */
    referTo(called: string, value: Json): Json {
      const written = JSON.stringify(value);
      let name = names.get(written);
      if (name === undefined) {
        name = called;
        for (let next = 2; name in components; next += 1) name = `${called}-${next}`;
        names.set(written, name);
        components[name] = value;
      }
      return { $ref: `#/components/${section}/${name}` };
    },
  };
};

/**
 * Says once what most operations answer alike: the problems, and the headers of budgets.
 *
 * @param nameOf What a status is called.
 * @see [OpenAPI 3.1.0 §4.8.7](https://spec.openapis.org/oas/v3.1.0.html#components-object)
 */
export const shareAnswers = (paths: Record<string, Operations>, nameOf: (status: number) => string) => {
  const headers = createComponents('headers');
  const responses = createComponents('responses');
  const operations = Object.values(paths).flatMap((path) => Object.values(path));
  const all = operations.flatMap((operation) => Object.values(operation.responses));
  const times = new Map<string, number>();
  for (const response of all) {
    const written = JSON.stringify(response);
    times.set(written, (times.get(written) ?? 0) + 1);
  }
  for (const operation of operations)
    for (const [status, response] of Object.entries(operation.responses)) {
      const isShared = (times.get(JSON.stringify(response)) ?? 0) > 1;
      if (response.headers)
        response.headers = Object.fromEntries(
          Object.entries(response.headers as Record<string, Json>).map(([name, one]) => [
            name,
            headers.referTo(name, one),
          ]),
        );
      if (isShared) operation.responses[status] = responses.referTo(nameOf(Number(status)), response);
    }
  return { headers: headers.components, responses: responses.components };
};
