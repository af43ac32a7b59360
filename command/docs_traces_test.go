package command

import (
	"regexp"
	"strings"
	"testing"
)

// TestTraceDocs holds docs/tracing.md to the attributes that spans have.
func TestTraceDocs(t *testing.T) {
	t.Parallel()
	page := document(t, "docs", "tracing.md")
	own := regexp.MustCompile(`"(weir\.[a-z_]+)"`)
	said := map[string]bool{}
	for _, source := range []string{document(t, "middleware", "trace.go"), document(t, "upstream", "span.go")} {
		for _, found := range own.FindAllStringSubmatch(source, -1) {
			said[found[1]] = true
			if !strings.Contains(page, "`"+found[1]+"`") {
				t.Errorf("docs/tracing.md does not have %s", found[1])
			}
		}
	}
	for _, found := range regexp.MustCompile("`(weir\\.[a-z_]+)`").FindAllStringSubmatch(page, -1) {
		if !said[found[1]] && found[1] != "weir.yaml" {
			t.Errorf("docs/tracing.md has %s, which no span has", found[1])
		}
	}
	if len(said) < 20 {
		t.Errorf("only %d attributes are found", len(said))
	}
}
