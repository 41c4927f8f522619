// @ts-check
// Views are plain descriptions, and the document is made to match them: what stays keeps its focus and what is typed.
// No markup is parsed.

/** @typedef {{tag: string, props: Record<string, any>, kids: (Tree|string)[]}} Tree */

/**
 * @param {string} tag "name.class.class"
 * @param {Record<string, any>|null} [props] attributes; `on…`, `value` and `checked` are properties; `key` names one of
 *   several siblings; `ref` is called with the element when it is new
 * @param {...any} kids what is falsy keeps its place empty, so that the siblings keep theirs
 * @returns {Tree}
 */
export function h(tag, props, ...kids) {
  const [name, ...classes] = tag.split('.');
  return {
    tag: name, props: classes.length ? { class: classes.join(' '), ...props } : props ?? {},
    kids: kids.flat().map((kid) => (kid && typeof kid === 'object' ? kid : kid || kid === 0 ? String(kid) : '')),
  };
}

/** Calls of `ref`, until the elements are in the document. @type {(() => void)[]} */
let born = [];

/** @param {any} parent @param {(Tree|string)[]} kids */
export function patch(parent, kids) {
  match(parent, kids);
  const calls = born;
  born = [];
  for (const call of calls) call();
}

/** @param {any} parent @param {(Tree|string)[]} kids */
function match(parent, kids) {
  const keys = new Set(kids.map((kid) => (typeof kid === 'string' ? undefined : kid.props.key)));
  const keyed = new Map();
  for (const node of [...parent.childNodes]) {
    const key = node.tree?.props.key;
    if (key === undefined) continue;
    if (keys.has(key)) keyed.set(key, node);
    else node.remove();
  }
  kids.forEach((kid, i) => {
    const there = parent.childNodes[i];
    const isText = typeof kid === 'string';
    const key = isText ? undefined : kid.props.key;
    const fits = there && there.tree?.props.key === undefined
      && (isText ? there.nodeType === 3 : there.tree?.tag === kid.tag);
    let node = key === undefined ? (fits ? there : undefined) : keyed.get(key);
    const isNew = !node;
    if (isText) {
      node ??= document.createTextNode(kid);
      if (node.data !== kid) node.data = kid;
    } else {
      node ??= document.createElement(kid.tag);
      match(node, kid.kids);
      dress(node, kid);
    }
    if (node !== there) parent.insertBefore(node, there ?? null);
    if (isNew && !isText && kid.props.ref) born.push(() => kid.props.ref(node));
  });
  while (parent.childNodes.length > kids.length) parent.lastChild.remove();
}

/** @param {any} node @param {Tree} tree */
function dress(node, tree) {
  const was = node.tree?.props ?? {};
  for (const name of Object.keys({ ...was, ...tree.props })) {
    const value = tree.props[name];
    if (value === was[name] || name === 'key' || name === 'ref') continue;
    if (/^(on|value$|checked$)/.test(name)) node[name] = value ?? null;
    else if (value === undefined || value === null || value === false) node.removeAttribute(name);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.tree = tree;
}
