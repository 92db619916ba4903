import { expect, test } from 'vitest';

import { embedCode } from '../src/panel/share';

test('a name that ends the attribute it stands in is written as text', () => {
  const code = embedCode('http://node/?sensor=a&embed=1', '"><script>alert(1)</script>');
  expect(code).toContain('src="http://node/?sensor=a&amp;embed=1"');
  expect(code).toContain('title="&quot;>&lt;script>alert(1)&lt;/script>"');
});
