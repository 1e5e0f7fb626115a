// Starting points for a new key: buttons that fill the form.

import type { KeyFormValues } from "../../../lib/keys/key-fields.ts";
import { KEY_TEMPLATES, type KeyTemplate } from "../../../lib/keys/key-templates.ts";
import { missingFrom } from "../../../lib/permissions.ts";

interface Props {
  form: KeyFormValues;
  /** The caller's permissions; null: unknown. */
  held: string[] | null;
  onChoose: (template: KeyTemplate) => void;
}

export function KeyTemplates({ form, held, onChoose }: Props) {
  const templates = KEY_TEMPLATES.filter(({ form }) => missingFrom(held, form.permissions).length === 0);
  if (templates.length === 0) return null;
  const isChosen = (template: KeyTemplate) =>
    form.can_manage === template.form.can_manage &&
    JSON.stringify(form.permissions) === JSON.stringify(template.form.permissions);
  return (
    <section className="card stack compact" aria-label="Templates">
      <p className="hint">Start with a template, or fill in the form yourself:</p>
      <div className="templates">
        {templates.map((template) => (
          <button
            key={template.id}
            type="button"
            aria-pressed={isChosen(template)}
            title={template.hint}
            onClick={() => onChoose(template)}
          >
            {template.label}
          </button>
        ))}
      </div>
    </section>
  );
}
