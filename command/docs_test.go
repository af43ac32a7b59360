package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"weir/config"
	"weir/openai"
)

// document returns a file of the repository.
func document(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// codes returns the value of every constant of openai whose name begins with
// Code.
func codes(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../openai/error.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if !strings.HasPrefix(name.Name, "Code") {
				continue
			}
			value, err := strconv.Unquote(spec.Values[i].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatalf("%s: %v", name.Name, err)
			}
			all = append(all, value)
		}
		return true
	})
	if len(all) == 0 {
		t.Fatal("no code was found")
	}
	slices.Sort(all)
	return all
}

// TestEveryCodeIsDocumented demands a section for each code, and none besides.
func TestEveryCodeIsDocumented(t *testing.T) {
	t.Parallel()
	var sections []string
	for _, m := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(document(t, "docs", "errors.md"), -1) {
		sections = append(sections, m[1])
	}
	slices.Sort(sections)
	if diff := cmp.Diff(codes(t), sections); diff != "" {
		t.Errorf("sections of docs/errors.md (-codes +sections):\n%s", diff)
	}
}

// TestErrorExamples holds the example of each section to what the gateway writes
// with that status and that message.
func TestErrorExamples(t *testing.T) {
	t.Parallel()
	sections := strings.Split(document(t, "docs", "errors.md"), "\n## ")
	for _, section := range sections[1:] {
		code, text, _ := strings.Cut(section, "\n")
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			status, err := strconv.Atoi(regexp.MustCompile(`^\n(\d{3})\b`).FindStringSubmatch(text + "\n000")[1])
			if err != nil {
				t.Fatalf("the section does not begin with its status: %v", err)
			}
			_, example, _ := strings.Cut(text, "```json\n")
			example, advice, ok := strings.Cut(example, "\n```\n")
			var got struct {
				Error struct{ Message, Type, Param, Code string }
			}
			if err := json.Unmarshal([]byte(example), &got); err != nil || !ok {
				t.Fatalf("no example: %v\n%s", err, example)
			}
			message, _, _ := strings.Cut(got.Error.Message, " (docs/")
			want := openai.Error{Status: status, Code: code, Param: got.Error.Param, Message: message}
			switch code { // whose types are the limits' own
			case openai.CodeRateLimit:
				want.Type = "requests"
			case openai.CodeInsufficientQuota:
				want.Type = code
			}
			if diff := cmp.Diff(string(want.Envelope()), example); diff != "" {
				t.Errorf("example (-written +documented):\n%s", diff)
			}
			if strings.TrimSpace(advice) == "" {
				t.Error("it does not say what to do")
			}
		})
	}
}

// listed returns the names in code font in the first column of every table in
// text.
func listed(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cell, _, _ := strings.Cut(line[2:], " | ")
		for name := range strings.SplitSeq(cell, ", ") {
			names = append(names, strings.Trim(name, "`"))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// section returns what stands under a heading of a document.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(text, "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("there is no section %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// TestLogFieldsAreDocumented demands a row for each field of the request's line,
// and none besides.
func TestLogFieldsAreDocumented(t *testing.T) {
	t.Parallel()
	var fields []string
	source := document(t, "telemetry", "log.go")
	for _, m := range regexp.MustCompile(`(?:l\.(?:text|number|list)|slog\.[A-Z]\w+)\("(\w+)"`).FindAllStringSubmatch(source, -1) {
		fields = append(fields, m[1])
	}
	slices.Sort(fields)
	if diff := cmp.Diff(fields, listed(section(t, document(t, "docs", "operations.md"), "Logs"))); diff != "" {
		t.Errorf("docs/operations.md, Logs (-source +table):\n%s", diff)
	}
}

// TestHeadersAreDocumented demands a row for each x-weir- header that is sent,
// and none besides.
func TestHeadersAreDocumented(t *testing.T) {
	t.Parallel()
	var sent []string
	for _, name := range []string{"decide.go", "explain.go", "models.go", "proxy.go", "read.go", "relay.go", "write.go"} {
		for _, m := range regexp.MustCompile(`Set\("(X-Weir-[\w-]+)"`).FindAllStringSubmatch(document(t, "proxy", name), -1) {
			sent = append(sent, strings.ToLower(m[1]))
		}
	}
	slices.Sort(sent)
	sent = slices.Compact(sent)
	if diff := cmp.Diff(sent, listed(section(t, document(t, "docs", "operations.md"), "Headers"))); diff != "" {
		t.Errorf("docs/operations.md, Headers (-source +table):\n%s", diff)
	}
}

// block is a fenced block of a document.
type block struct {
	place    string // file:line
	language string
	text     string
}

// blocks returns the fenced blocks of the README and of everything in docs.
func blocks(t *testing.T) []block {
	t.Helper()
	paths := []string{"../README.md"}
	err := filepath.WalkDir("../docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	for _, path := range paths {
		open, number := false, 0
		for line := range strings.Lines(document(t, strings.TrimPrefix(path, "../"))) {
			number++
			language, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
			switch {
			case fence && !open:
				all = append(all, block{place: fmt.Sprintf("%s:%d", path, number), language: language})
				open = true
			case fence:
				open = false
			case open:
				all[len(all)-1].text += line
			}
		}
		if open {
			t.Errorf("%s: a block is not closed", path)
		}
	}
	return all
}

// TestBlocksParse holds every block of the documents to its language: JSON and
// YAML parse, configurations are valid, commands are ones that a shell and weir
// understand.
func TestBlocksParse(t *testing.T) {
	t.Parallel()
	for _, b := range blocks(t) {
		switch b.language {
		case "json":
			if !json.Valid([]byte(b.text)) {
				t.Errorf("%s: no JSON:\n%s", b.place, b.text)
			}
		case "yaml":
			parseYAML(t, b)
		case "console":
			for _, c := range commands(b.text) {
				parseCommand(t, b.place, c.line)
			}
		case "text":
		default:
			t.Errorf("%s: nothing is known of blocks of %q", b.place, b.language)
		}
	}
}

func parseYAML(t *testing.T, b block) {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(b.text), &doc); err != nil {
		t.Errorf("%s: no YAML: %v", b.place, err)
		return
	}
	if _, whole := doc["version"]; !whole {
		return
	}
	_, problems := config.Parse(b.place, []byte(b.text), config.Options{Getenv: variable})
	for _, p := range problems {
		t.Errorf("%v", p)
	}
}

// variable returns what a variable of the documents could hold.
func variable(name string) (string, bool) {
	switch {
	case strings.HasPrefix(name, "WEIR_"):
		return "", false
	case strings.HasSuffix(name, "_SHA256"):
		return hash(name), true
	case strings.HasSuffix(name, "_ENDPOINT"):
		return "https://" + strings.ToLower(strings.ReplaceAll(name, "_", "-")) + ".openai.azure.com", true
	default:
		return "secret-of-" + name, true
	}
}

// typed is a command as it is typed in a console block, and what is shown behind
// it.
type typed struct{ line, shown string }

// commands returns the commands of a console block.
func commands(text string) []typed {
	var all []typed
	more := false
	for line := range strings.Lines(text) {
		command, begins := strings.CutPrefix(line, "$ ")
		switch {
		case begins:
			all = append(all, typed{line: command})
		case more:
			all[len(all)-1].line += line
		case len(all) > 0:
			all[len(all)-1].shown += line
		}
		more = (begins || more) && strings.HasSuffix(line, "\\\n")
	}
	return all
}

// parseCommand holds a command to the shell's grammar, and one of weir's to its
// flags and arguments.
func parseCommand(t *testing.T, place, line string) {
	t.Helper()
	shell := exec.Command("bash", "-n")
	shell.Stdin = strings.NewReader(line)
	if out, err := shell.CombinedOutput(); err != nil {
		t.Errorf("%s: the shell does not understand %q: %v\n%s", place, line, err, out)
		return
	}
	words := split(line)
	for i := range words {
		if words[i] == "-d" && !json.Valid([]byte(words[i+1])) {
			t.Errorf("%s: no JSON: %s", place, words[i+1])
		}
	}
	for len(words) > 0 && strings.Contains(words[0], "=") {
		words = words[1:]
	}
	at := slices.Index(words, "weir")
	if len(words) > 2 && words[0] == "go" && words[1] == "run" {
		at = 2
	}
	if at < 0 || words[0] != "weir" && words[0] != "go" && words[0] != "docker" {
		return
	}
	args := slices.DeleteFunc(words[at+1:], func(w string) bool { return w == "&" })
	s := &streams{}
	root := rootCommand(s)
	strict(root)
	cmd, rest, err := root.Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("%s: weir does not understand %q: %v", place, line, err)
	}
}

// split returns the words of a command, up to a pipe. It knows quotes, but no
// variables and no nesting.
func split(line string) []string {
	line = strings.ReplaceAll(line, "\\\n", " ")
	var words []string
	for _, word := range regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`).FindAllString(line, -1) {
		if word == "|" {
			break
		}
		words = append(words, regexp.MustCompile(`'([^']*)'|"([^"]*)"`).ReplaceAllString(word, "$1$2"))
	}
	return words
}

// TestReadmeNamesTests holds the promises of the README to tests that exist.
func TestReadmeNamesTests(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != ".."):
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			source.WriteString(document(t, strings.TrimPrefix(path, "../")))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllStringSubmatch(document(t, "README.md"), -1)
	if len(names) == 0 {
		t.Error("it names none")
	}
	for _, m := range names {
		if !strings.Contains(source.String(), "\nfunc "+m[1]+"(") {
			t.Errorf("there is no test %s", m[1])
		}
	}
}

// TestReadmeTranscript runs the transcript that the README begins with: what it
// shows behind a request is what the demo answers.
func TestReadmeTranscript(t *testing.T) {
	d := startDemo(t)
	run := 0
	for _, c := range commands(blocks(t)[0].text) {
		words := split(c.line)
		if words[0] != "curl" {
			continue
		}
		run++
		answer := d.curl(t, words)
		for line := range strings.Lines(c.shown) {
			if !strings.Contains(answer, strings.TrimSpace(line)) {
				t.Errorf("%s\nshows %s\nand it answers:\n%s", c.line, line, answer)
			}
		}
	}
	if run == 0 {
		t.Error("there is no request in it")
	}
}
