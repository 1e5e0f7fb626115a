// Lints that the type checker does not have: the rules of hooks, and accessible markup.

import a11y from "eslint-plugin-jsx-a11y";
import hooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", "src/api/schema.d.ts"] },
  tseslint.configs.strict,
  tseslint.configs.stylistic,
  hooks.configs.flat["recommended-latest"],
  a11y.flatConfigs.recommended,
);
