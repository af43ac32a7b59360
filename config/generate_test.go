package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"weir/config"
)

var update = flag.Bool("update", false, "write schema.json and the reference in docs/configuration.md")

const (
	reference = "../docs/configuration.md"
	begin     = "<!-- Written by go generate ./config from the comments of the types. -->\n"
	end       = "<!-- End of what is written. -->\n"
)

// TestGenerated holds the schema and the reference to the types they are made
// of.
func TestGenerated(t *testing.T) {
	t.Parallel()
	docs := comments(t)
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	root := schemaOf(reflect.TypeFor[config.File](), docs)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "The configuration of weir"
	if err := enc.Encode(root); err != nil {
		t.Fatal(err)
	}
	same(t, "schema.json", buf.String())

	page := read(t, reference)
	head, rest, ok := strings.Cut(page, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has lost its marks", reference)
	}
	var b strings.Builder
	tableOf(&b, reflect.TypeFor[config.File](), "", docs)
	codesOf(t, &b)
	same(t, reference, head+begin+"\n"+strings.TrimLeft(b.String(), "\n")+"\n"+end+tail)
}

// same compares a file with what it should be, or writes it.
func same(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, read(t, path)); diff != "" {
		t.Errorf("%s is not what go generate writes (-want +got):\n%s", path, diff)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// comments returns the comment of every field, by type and field name.
func comments(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{}
	for _, file := range []string{"file.go", "passage.go", "operation.go", "state.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			fields, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range fields.Fields.List {
				name := field.Names[0].Name
				text := strings.Join(strings.Fields(field.Doc.Text()), " ")
				if text == "" {
					t.Errorf("%s.%s has no comment", spec.Name.Name, name)
				}
				if after, ok := strings.CutPrefix(text, name+" "); ok {
					tag, _ := strconv.Unquote(field.Tag.Value)
					text = reflect.StructTag(tag).Get("yaml") + " " + after
				}
				docs[spec.Name.Name+"."+name] = text
			}
			return true
		})
	}
	return docs
}

func schemaOf(t reflect.Type, docs map[string]string) map[string]any {
	properties, required := map[string]any{}, []string{}
	for f := range t.Fields() {
		name := f.Tag.Get("yaml")
		if name == "-" {
			continue
		}
		s := valueSchema(f.Type, f.Tag, docs)
		s["description"] = docs[t.Name()+"."+f.Name]
		if d, ok := f.Tag.Lookup("default"); ok && f.Type.Kind() != reflect.Slice {
			s["default"] = defaultOf(f.Type, d)
		}
		properties[name] = s
		if f.Tag.Get("required") != "" {
			required = append(required, name)
		}
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func defaultOf(t reflect.Type, text string) any {
	switch t.Kind() {
	case reflect.Int, reflect.Float64, reflect.Bool:
		return json.RawMessage(text)
	case reflect.Int64, reflect.String:
		return text
	default:
		return nil
	}
}

// orReference adds that the value may be a ${NAME}.
func orReference(s map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{s, map[string]any{"type": "string", "pattern": `\$\{.*\}`}}}
}

func valueSchema(t reflect.Type, tag reflect.StructTag, docs map[string]string) map[string]any {
	text := func(pattern string) map[string]any {
		return orReference(map[string]any{"type": "string", "pattern": pattern})
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		const part = `[0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h)`
		return text(`^([0-9]+d(` + part + `)*|(` + part + `)+)$`)
	case reflect.TypeFor[config.Percent]():
		return orReference(map[string]any{"type": []any{"number", "string"}, "pattern": `^[0-9.]+ *%?$`, "exclusiveMinimum": 0, "maximum": 1})
	case reflect.TypeFor[config.Size]():
		return orReference(map[string]any{"type": []any{"integer", "string"}, "pattern": `^[0-9]+ *([KkMmGg]i?)?[Bb]?$`, "minimum": 0})
	case reflect.TypeFor[time.Time]():
		return text(`^[0-9]{4}-[0-9]{2}-[0-9]{2}`)
	case reflect.TypeFor[netip.Prefix]():
		return text(`^[0-9A-Fa-f.:]+(/[0-9]+)?$`)
	}
	switch t.Kind() {
	case reflect.Struct:
		return schemaOf(t, docs)
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), docs), "propertyNames": names(tag)}
	case reflect.Slice:
		item := valueSchema(t.Elem(), "", docs)
		return map[string]any{"type": "array", "items": item, "minItems": number(tag, "minItems", "0")}
	case reflect.Int:
		return orReference(map[string]any{"type": "integer", "minimum": number(tag, "min", ""), "maximum": number(tag, "max", "")})
	case reflect.Float64:
		bound, of := "exclusiveMinimum", "above"
		if tag.Get(of) == "" {
			bound, of = "minimum", "min"
		}
		return orReference(map[string]any{"type": "number", bound: number(tag, of, ""), "maximum": number(tag, "max", "")})
	case reflect.Pointer:
		return valueSchema(t.Elem(), tag, docs)
	case reflect.Bool:
		return orReference(map[string]any{"type": "boolean"})
	default:
	}
	if enum := tag.Get("enum"); enum != "" {
		return orReference(map[string]any{"enum": strings.Fields(enum)})
	}
	s := map[string]any{"type": "string"}
	if tag.Get("required") != "" {
		s["minLength"] = 1
	}
	return s
}

func names(tag reflect.StructTag) map[string]any {
	if tag.Get("names") == "model" {
		return map[string]any{"minLength": 1, "maxLength": 128}
	}
	return map[string]any{"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}
}

func number(tag reflect.StructTag, key, otherwise string) json.RawMessage {
	if v := tag.Get(key); v != "" {
		return json.RawMessage(v)
	}
	return json.RawMessage(otherwise)
}

// tableOf writes a table of the keys of a type, and then of what is below it.
func tableOf(b *strings.Builder, t reflect.Type, path string, docs map[string]string) {
	title := path
	if path == "" {
		title = "Top level"
	}
	fmt.Fprintf(b, "\n### %s\n\n| key | value | default | meaning |\n|---|---|---|---|\n", title)
	type part struct {
		t    reflect.Type
		path string
	}
	var below []part
	for f := range t.Fields() {
		name := f.Tag.Get("yaml")
		if name == "-" {
			continue
		}
		value, preset := valueText(f.Type, f.Tag), "–"
		if d, ok := f.Tag.Lookup("default"); ok {
			preset = "`" + d + "`"
		} else if f.Tag.Get("required") != "" {
			preset = "required"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, value, preset, strings.ReplaceAll(docs[t.Name()+"."+f.Name], "|", `\|`))
		sub, at := f.Type, strings.TrimPrefix(path+"."+name, ".")
		switch sub.Kind() {
		case reflect.Map:
			sub, at = sub.Elem(), at+".NAME"
		case reflect.Slice:
			sub, at = sub.Elem(), at+"[]"
		case reflect.Pointer:
			sub = sub.Elem()
		default:
		}
		if sub.Kind() == reflect.Struct && sub != reflect.TypeFor[time.Time]() && sub != reflect.TypeFor[netip.Prefix]() {
			below = append(below, part{sub, at})
		}
	}
	for _, p := range below {
		tableOf(b, p.t, p.path, docs)
	}
}

func valueText(t reflect.Type, tag reflect.StructTag) string {
	if enum := tag.Get("enum"); enum != "" {
		return "`" + strings.ReplaceAll(enum, " ", "`, `") + "`"
	}
	limits := ""
	if low, high := tag.Get("min")+tag.Get("above"), tag.Get("max"); high != "" {
		limits = ", " + low + " to " + high
		if tag.Get("above") != "" {
			limits = ", above " + low + ", at most " + high
		}
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration" + limits
	case reflect.TypeFor[config.Size]():
		return "size" + limits
	case reflect.TypeFor[config.Percent]():
		return "share"
	case reflect.TypeFor[time.Time]():
		return "date or time"
	case reflect.TypeFor[netip.Prefix]():
		return "address or CIDR"
	}
	switch t.Kind() {
	case reflect.Struct:
		return "mapping"
	case reflect.Map:
		return "mapping by name"
	case reflect.Slice:
		return "list of " + strings.NewReplacer("mapping", "mappings", "share", "shares").Replace(valueText(t.Elem(), ""))
	case reflect.Int:
		return "number" + limits
	case reflect.Float64:
		return "number" + limits
	case reflect.Pointer:
		return valueText(t.Elem(), tag)
	case reflect.Bool:
		return "`true`, `false`"
	default:
		return "text"
	}
}

// codesOf writes a table of the codes of problems.
func codesOf(t *testing.T, b *strings.Builder) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n### Codes of problems\n\n| code | meaning |\n|---|---|\n")
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			code, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(b, "| `%s` | %s |\n", code, strings.TrimSpace(v.Comment.Text()))
		}
		return true
	})
}

// compiled returns the schema, ready to validate.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func plainValue(t *testing.T, text string) any {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestExamples holds every example to the checks and to the schema.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../docs/examples/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("Glob = %v, %v; want four examples or more", files, err)
	}
	schema := compiled(t)
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			f, problems := config.Load(path, config.Options{Getenv: exampleEnv, ReadFile: os.ReadFile, Now: now()})
			if f == nil || len(problems) > 0 {
				t.Errorf("Load(%s) has problems:\n%s", path, texts(problems))
			}
			if err := schema.Validate(plainValue(t, read(t, path))); err != nil {
				t.Errorf("%s does not fit the schema: %v", path, err)
			}
		})
	}
}

// exampleEnv is the environment that the examples speak of.
func exampleEnv(name string) (string, bool) {
	v, ok := map[string]string{
		"AZURE_OPENAI_ENDPOINT":    "https://example.openai.azure.com",
		"AZURE_OPENAI_ENDPOINT_SC": "https://example-sc.openai.azure.com",
		"AZURE_OPENAI_API_KEY":     "0123456789abcdef0123456789abcdef",
		"AZURE_OPENAI_API_KEY_SC":  "fedcba9876543210fedcba9876543210",
		"SEARCH_KEY_SHA256":        strings.Repeat("5e", 32),
		"SUPPORT_BOT_KEY":          "a-long-key-of-the-support-bot",
		"REDIS_URL":                "rediss://weir:a-password@redis.example:6380/0",
		"DATABASE_URL":             "postgres://weir:a-password@db.example/usage",
		"WEIR_ADMIN_TOKEN":         "a-long-token-of-the-operators",
		"ALERT_WEBHOOK":            "https://alerts.example/weir",
	}[name]
	return v, ok
}

// TestSchemaRefuses shows that the schema refuses what Parse refuses.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	schema := compiled(t)
	tests := []struct {
		name, old, new string
	}{
		{"unknown key", "version: 1", "version: 1\nbudget: {}"},
		{"wrong version", "version: 1", "version: 2"},
		{"no backends", "backends:", "policies:"},
		{"negative weight", "deployment: gpt-4o }", "deployment: gpt-4o, weight: -1 }"},
		{"bad choice", "version: 1", "version: 1\npolicies: { default: { mode: loud } }"},
		{"a price for input alone", "deployments:", "price: { input: 1 }, deployments:"},
		{"a share above one", "version: 1", "version: 1\nteams: { a: { budget: { usd: 1, alert_at: [80] } } }"},
		{"a share in words", "version: 1", "version: 1\nteams: { a: { budget: { usd: 1, alert_at: [most] } } }"},
		{"a budget of nothing", "version: 1", "version: 1\nteams: { a: { budget: { usd: 0 } } }"},
		{"days behind hours", "version: 1", "version: 1\nstate: { ledger: { retain: 12h1d } }"},
		{"bad duration", "version: 1", "version: 1\nserver: { shutdown_grace: 30 }"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			good := read(t, "../docs/examples/minimal.yaml")
			bad := strings.Replace(good, tt.old, tt.new, 1)
			if bad == good {
				t.Fatal("the example has no place for this fault")
			}
			if err := schema.Validate(plainValue(t, bad)); err == nil {
				t.Error("the schema lets it pass")
			}
			if f, _ := config.Parse("weir.yaml", []byte(bad), config.Options{Getenv: exampleEnv}); f != nil {
				t.Error("Parse lets it pass")
			}
		})
	}
}
