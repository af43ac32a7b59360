package tokens_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"weir/tokens"
)

func TestImageTokens(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		model         string
		width, height int
		detail        string
		want          int
	}{
		// Charges that usage has shown: 97, 267, 86, 236, 2845, 8512, 1117 and 847
		// tokens less the text of the request; and tables of vendors.
		{"low is the base", "gpt-4o", 128, 64, "low", 97 - 12},
		{"one tile", "gpt-4.1", 128, 64, "high", 267 - 12},
		{"o3 low", "o3", 128, 64, "low", 86 - 11},
		{"o3 one tile", "o3", 128, 64, "auto", 236 - 11},
		{"4o-mini low", "gpt-4o-mini", 128, 64, "low", 2845 - 12},
		{"4o-mini one tile", "gpt-4o-mini", 128, 64, "high", 8512 - 12},
		{"o4-mini takes no detail", "o4-mini", 128, 64, "low", 26 - 11},
		{"4.1-mini takes no detail", "gpt-4.1-mini", 128, 64, "low", 26 - 12},
		{"six tiles of a landscape", "gpt-4o", 2560, 1669, "auto", 1117 - 12},
		{"four tiles of a fruit", "gpt-4o", 566, 597, "", 765},
		{"two tiles", "gpt-4o", 540, 360, "", 425},
		{"a square is scaled to 768", "gpt-4o", 1024, 1024, "high", 765},
		{"a large one is scaled twice", "gpt-4o", 2048, 4096, "high", 1105},
		{"a very long one", "gpt-4o", 100_000, 10, "high", 85 + 4*170},
		{"patches", "gpt-5.4", 1024, 1024, "high", 1229},
		{"patches of full HD", "gpt-5.4", 1920, 1080, "high", 2448},
		{"patches of 4K", "gpt-5.4", 3840, 2160, "auto", 9792},
		{"patches of 4K as it is", "gpt-5.4", 3840, 2160, "original", 9792},
		{"patches of 4K, scaled", "gpt-5.4", 3840, 2160, "high", 2931},
		{"scaled to whole patches", "gpt-4.1-mini", 1800, 2400, "", 1 + 2353}, // 1452 patches
		{"one pixel", "gpt-4.1-mini", 1, 1, "", 1 + 2},
		{"a line", "gpt-4.1-mini", 1, 1 << 30, "", 1 + 2489},
		{"no size", "gpt-4o", 0, 10, "high", 85 + 8*170},
		{"no size at low detail", "gpt-4o", 0, 10, "low", 85},
		{"no size, patches", "gpt-5.4", 0, 0, "high", 3000},
		{"no size, patches, auto", "gpt-5.4", -1, 5, "auto", 12_000},
		{"an unknown model", "nobody", 0, 0, "", 12_000},
		{"an embedding", "text-embedding-3-large", 10, 10, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rule := tokens.Lookup(tt.model).Image
			got := rule.Tokens(tt.width, tt.height, tt.detail)
			if got != tt.want {
				t.Errorf("Tokens(%d, %d, %q) = %d, want %d", tt.width, tt.height, tt.detail, got, tt.want)
			}
			if most := rule.Max(tt.detail); got > most {
				t.Errorf("Max(%q) = %d, less than %d", tt.detail, most, got)
			}
		})
	}
}

func le(n uint16) string { return string(binary.LittleEndian.AppendUint16(nil, n)) }
func be(n uint16) string { return string(binary.BigEndian.AppendUint16(nil, n)) }

// segment is a JPEG segment of n bytes.
func segment(marker byte, n int) string {
	return "\xff" + string([]byte{marker}) + be(uint16(n)) + strings.Repeat("\xff", n-2)
}

func frame(marker byte, h uint16) string {
	return "\xff" + string([]byte{marker}) + "\x00\x11\x08" + be(h) + be(566) + "\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
}

func TestImageSizes(t *testing.T) {
	t.Parallel()
	jfif := "\xff\xd8" + segment(0xE0, 16)
	const size = 85 + 4*170 // of 566 by 597
	const most = 85 + 8*170
	for _, tt := range []struct {
		name string
		file string
		want int
	}{
		{"PNG", "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00" + be(566) + "\x00\x00" + be(597) + "\x08\x06\x00\x00\x00", size},
		{"GIF", "GIF89a" + le(566) + le(597) + "\xf7\x00\x00", size},
		{"WebP, lossy", "RIFF\x00\x10\x00\x00WEBPVP8 \x00\x00\x00\x00\x00\x00\x00\x9d\x01\x2a" + le(566) + le(597|0x4000), size},
		{"WebP, lossless", "RIFF\x00\x10\x00\x00WEBPVP8L\x00\x00\x00\x00\x2f" + "\x35\x02\x95\x00" + strings.Repeat("\x00", 8), size},
		{"WebP, extended", "RIFF\x00\x10\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + le(565) + "\x00" + le(596) + "\x00", size},
		{"JPEG", jfif + segment(0xDB, 67) + frame(0xC0, 597), size},
		{"JPEG, progressive", jfif + segment(0xC4, 40) + "\xff\xff" + frame(0xC2, 597)[1:], size},
		{"JPEG, deep", jfif + strings.Repeat(segment(0xE1, 60_000), 3) + frame(0xC1, 597), size},
		{"JPEG, too deep", jfif + strings.Repeat(segment(0xE1, 60_000), 6) + frame(0xC0, 597), most},
		{"JPEG without a frame", jfif + segment(0xDA, 8) + frame(0xC0, 597), most},
		{"JPEG, cut", jfif + "\xff\xc0\x00\x11\x08", most},
		{"JPEG, no marker", jfif + "x" + frame(0xC0, 597), most},
		{"JPEG, no height yet", jfif + frame(0xC0, 0), most},
		{"PNG, cut", "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR", most},
		{"PNG, size nought", "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x00\x00\x00\x00\x00\x08", most},
		{"WebP of a kind to come", "RIFF\x00\x10\x00\x00WEBPVP9X" + strings.Repeat("\x01", 30), most},
		{"nothing", "", most},
		{"text", "hello", most},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			data := base64.StdEncoding.EncodeToString([]byte(tt.file + strings.Repeat("\x00", 5000)))
			if tt.file == "" || strings.HasSuffix(tt.name, "cut") {
				data = base64.StdEncoding.EncodeToString([]byte(tt.file))
			}
			url := "DATA:image/any;base64," + data
			got := count(t, "gpt-4o", fmt.Sprintf(`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":%q}}]}]}`, url))
			if got.Images != tt.want || got.Total != tt.want+7 || got.Estimated != (tt.want == most) {
				t.Errorf("Request = %+v, want %d for the image", got, tt.want)
			}
		})
	}
}
