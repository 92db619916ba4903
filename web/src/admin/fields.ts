/** What stands in forms: begun, or done with. */

/** Whether something was typed that nothing has come of yet. */
export function isHalfFilled(within: ParentNode): boolean {
  return [...within.querySelectorAll('input')].some(({ value, defaultValue }) => {
    return value !== defaultValue;
  });
}

/** What was typed has been taken; it stays to be changed and used again. */
export function settle(form: ParentNode): void {
  for (const field of form.querySelectorAll('input')) field.defaultValue = field.value;
}
