package command

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"text/tabwriter"
	"unicode"

	"weir/config"
)

// grade is how a check came out.
type grade string

const (
	gradeOK   grade = "ok"
	gradeWarn grade = "warn"
	gradeFail grade = "fail"
)

// finding is one line of the doctor's table.
type finding struct {
	Check  string `json:"check"`
	Target string `json:"target"` // a backend, backend/deployment, or environment
	Result grade  `json:"result"`
	Seen   string `json:"seen"`
	Mend   string `json:"mend,omitempty"`
	Path   string `json:"path,omitempty"` // teams.search.limits.rpm
	File   string `json:"file,omitempty"` // or the environment variable concerned
	Line   int    `json:"line,omitempty"` // of the file, from 1; 0: none is concerned
}

// add notes a finding, without what must not be shown, and with its line where
// something is to be mended: that of the backend where it names none.
func (e *examination) add(f finding) {
	f.Seen, f.Mend = e.mask(f.Seen), e.mask(f.Mend)
	if f.Result == gradeOK {
		f.Path, f.Mend = "", ""
	} else {
		f.Path = cmp.Or(f.Path, "backends."+e.name)
		f.File, f.Line = e.where(f.Path)
	}
	e.findings = append(e.findings, f)
}

// shortest is the length below which a text is no secret: what is shorter stands
// in other words too.
const shortest = 4

// mask returns a text on one line, without secrets.
func (e *examination) mask(text string) string {
	for _, list := range [][]string{e.secrets, e.hidden} {
		for _, secret := range list {
			if len(secret) >= shortest {
				text = strings.ReplaceAll(text, secret, "[secret]")
			}
		}
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
}

// quote returns what somebody else has said, clipped.
func quote(text string) string {
	const most = 160
	r := []rune(strings.TrimSpace(text))
	if len(r) > most {
		r = append(r[:most], '…')
	}
	return string(r)
}

// secretsOf returns every secret of a configuration.
func secretsOf(f *config.File) []string {
	var all []string
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		if v.Type() == reflect.TypeFor[config.Secret]() {
			all = append(all, v.String())
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					walk(v.Field(i))
				}
			}
		case reflect.Map:
			for _, key := range v.MapKeys() {
				walk(v.MapIndex(key))
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		default: // it holds no secret
		}
	}
	walk(reflect.ValueOf(*f))
	return all
}

// diagnosis is what the doctor prints as JSON.
type diagnosis struct {
	File             string    `json:"file"` // "environment" where there is no file
	OK               bool      `json:"ok"`   // no check failed
	Checks           []finding `json:"checks"`
	Calls            int       `json:"calls"` // answers that were asked for
	PromptTokens     int64     `json:"prompt_tokens"`
	CompletionTokens int64     `json:"completion_tokens"`
}

// report prints what was found, and fails where a check did.
func (d *doctor) report(form output, file string, all []*examination) error {
	out, count := diagnosis{File: file, Checks: []finding{}}, map[grade]int{}
	for _, e := range all {
		out.Checks = append(out.Checks, e.findings...)
		out.Calls, out.PromptTokens, out.CompletionTokens = out.Calls+e.calls, out.PromptTokens+e.prompt, out.CompletionTokens+e.answer
	}
	for _, f := range out.Checks {
		count[f.Result]++
	}
	out.OK = count[gradeFail] == 0
	var err error
	if form == asJSON {
		err = writeJSON(d.out, out)
	} else {
		err = d.table(out, count)
	}
	if err == nil && !out.OK {
		err = fmt.Errorf("%s of %d failed", plural(count[gradeFail], "check"), len(out.Checks))
	}
	return err
}

// table prints a line for each check, and its mend below it.
func (d *doctor) table(out diagnosis, count map[grade]int) error {
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format, args...)
		errs = append(errs, err)
	}
	line("CHECK\tTARGET\tRESULT\tSEEN\n")
	for _, f := range out.Checks {
		line("%s\t%s\t%s\t%s\n", f.Check, f.Target, f.Result, f.Seen)
		if f.Mend != "" {
			line("\t\t\t→ %s\n", f.Mend)
		}
		if at := f.File; at != "" {
			if f.Line > 0 {
				at = fmt.Sprintf("%s:%d", at, f.Line)
			}
			line("\t\t\t  at %s: %s\n", at, f.Path)
		}
	}
	errs = append(errs, w.Flush())
	_, err := fmt.Fprintf(d.out, "\n%d ok, %s, %s; %s asked for, %d tokens of prompts and %d of answers\n",
		count[gradeOK], plural(count[gradeWarn], "warning"), plural(count[gradeFail], "failure"),
		plural(out.Calls, "answer"), out.PromptTokens, out.CompletionTokens)
	if err = errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}
