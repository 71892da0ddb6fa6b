// What may be chosen about a heat map, wherever one is asked for: the inputs, and the lists that they offer.
import type { ComponentChildren } from 'preact';
import { useRef } from 'preact/hooks';
import { methodName, type Checkpoint, type Layer } from './explain_api';
import { NETWORKS, spatial, stages } from './map_rows';

interface ChoiceProps {
  name: string;
  label: string;
  value: string;
  options: readonly (readonly [value: string, text: string])[];
  onChange: (value: string) => void;
}

export function Choice({ name, label, value, options, onChange }: ChoiceProps) {
  return (
    <label>{label}
      <select name={name} value={value} onChange={(e) => onChange(e.currentTarget.value)}>
        {options.map(([option, text]) => <option key={option} value={option}>{text}</option>)}
      </select>
    </label>
  );
}

export function Check({ name, value, title, onChange, children }:
  { name: string; value: boolean; title: string; onChange: (value: boolean) => void; children: ComponentChildren }) {
  return (
    <label title={title}>
      <input type="checkbox" name={name} checked={value} onChange={(e) => onChange(e.currentTarget.checked)} />{children}
    </label>
  );
}

export const MethodChoice = ({ value, methods, onChange }:
  { value: string; methods: string[]; onChange: (value: string) => void }) => (
  <Choice name="method" label="Method" value={value} onChange={onChange}
    options={(methods.includes(value) ? methods : [value, ...methods]).map((name) => [name, methodName(name)])} />
);

// Checkpoints that are kept, and by their meaning: the newest, and the best where there is one.
export const EpochChoice = ({ value, kept, onChange }:
  { value: string; kept: Checkpoint[]; onChange: (value: string) => void }) => (
  <Choice name="epoch" label="Epoch" value={value} onChange={onChange}
    options={[['latest', 'latest'], ...(kept.some(({ best }) => best) ? [['best', 'best'] as const] : []),
      ...kept.map(({ epoch }) => [String(epoch), String(epoch)] as const)]} />
);

export const ClassChoice = ({ value, classes, onChange }:
  { value: number; classes: string[]; onChange: (value: number) => void }) => (
  <Choice name="class" label="Class" value={String(value)} onChange={(text) => onChange(Number(text))}
    options={[['-1', 'predicted'], ...classes.map((name, i) => [String(i), name] as const)]} />
);

export const NETWORK_OPTIONS = NETWORKS.map((name) => [name, name] as const);

const COLORMAPS = ['viridis', 'jet'];

interface Look {
  blend: number;
  colormap: string;
}

export function LookChoice({ blend, colormap, onChange }: Look & { onChange: (change: Partial<Look>) => void }) {
  return (
    <>
      <label title="0: the image alone, 1: the map alone">Blend
        <input type="range" name="blend" min={0} max={1} step={0.1} value={blend}
          onChange={(e) => onChange({ blend: e.currentTarget.valueAsNumber })} />
      </label>
      <Choice name="colormap" label="Colours" value={colormap} options={COLORMAPS.map((name) => [name, name])}
        onChange={(chosen) => onChange({ colormap: chosen })} />
    </>
  );
}

interface Treatment {
  signed: boolean;
  flips: boolean;
}

export function TreatmentChoice({ signed, flips, onChange }: Treatment & { onChange: (change: Partial<Treatment>) => void }) {
  return (
    <>
      <Check name="signed" value={signed} title="Evidence against the class, too: the map before its ReLU"
        onChange={(on) => onChange({ signed: on })}>
        signed
      </Check>
      <Check name="flips" value={flips} title="The mean of the image's map and of its mirror image's"
        onChange={(on) => onChange({ flips: on })}>
        flips
      </Check>
    </>
  );
}

/*
 * One layer or several, whose maps are fused. A list of boxes behind a button that says what is chosen; it closes when one goes elsewhere.
 * `value` empty: the model's default.
 */
export function LayerChoice({ value, layers, onChange }: { value: string[]; layers: Layer[]; onChange: (value: string[]) => void }) {
  const details = useRef<HTMLDetailsElement>(null);
  const first = stages(layers);
  const all = [...first, ...spatial(layers).filter((layer) => !first.includes(layer))];
  const order = spatial(layers).map(({ name }) => name);
  const toggle = (name: string) =>
    onChange(order.filter((other) => (other === name ? !value.includes(name) : value.includes(other))));
  const close = () => details.current?.removeAttribute('open');

  return (
    <details ref={details} class="chooser" data-chooser="layer"
      onFocusOut={(e) => { if (!e.currentTarget.contains(e.relatedTarget as Node | null)) close(); }}
      onKeyDown={(e) => {
        if (e.key === 'Escape') {
          close();
          details.current?.querySelector('summary')?.focus();
        }
      }}>
      <summary><span class="muted">Layer</span> <span class="chosen">{value.length > 0 ? value.join(' + ') : 'default'}</span></summary>
      <div class="chooser-list" role="group" aria-label="Layers; several are fused" tabIndex={-1}>
        {all.map((layer) => (
          <label key={layer.name} class={first.includes(layer) ? undefined : 'inner'}>
            <input type="checkbox" name="layer" value={layer.name} checked={value.includes(layer.name)}
              onChange={() => toggle(layer.name)} />
            {layer.name} <span class="muted">{layer.shape.slice(0, 2).join(' × ')}</span>
          </label>
        ))}
      </div>
    </details>
  );
}
