package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
)

// How much of an image is decoded to find its size. A JPEG may hold a thumbnail
// and color profiles before it; one that holds more than this is not measured.
const (
	firstLook  = 4 << 10
	secondLook = 256 << 10
)

// dataURL returns the base64 text of a data URL.
func dataURL(url []byte) ([]byte, bool) {
	if len(url) < len("data:") || !bytes.EqualFold(url[:len("data:")], []byte("data:")) {
		return nil, false
	}
	head, data, ok := bytes.Cut(url, []byte{','})
	return data, ok && bytes.HasSuffix(head, []byte(";base64"))
}

// decodeHead decodes about the first n bytes of base64 text, fewer where there
// are fewer or where the text is at fault.
func decodeHead(text []byte, n int) []byte {
	text = bytes.TrimRight(text[:min(len(text), (n+2)/3*4)], "=")
	head := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	got, _ := base64.RawStdEncoding.Decode(head, text) // what is before a fault is enough, or the size is unknown
	return head[:got]
}

// decodedLen returns how many bytes base64 text stands for.
func decodedLen(text []byte) int {
	return base64.RawStdEncoding.DecodedLen(len(bytes.TrimRight(text, "=")))
}

// imageSize returns the size of a PNG, GIF, WebP or JPEG image in pixels from its
// head, without decoding the image.
func imageSize(text []byte) (w, h int, ok bool) {
	head := decodeHead(text, firstLook)
	if w, h, ok = headSize(head); ok || !bytes.HasPrefix(head, []byte{0xFF, 0xD8}) {
		return w, h, ok
	}
	return jpegSize(decodeHead(text, secondLook))
}

func headSize(b []byte) (w, h int, ok bool) {
	switch {
	case len(b) >= 24 && bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")) && string(b[12:16]) == "IHDR":
		w, h = int(binary.BigEndian.Uint32(b[16:])), int(binary.BigEndian.Uint32(b[20:]))
	case len(b) >= 10 && (bytes.HasPrefix(b, []byte("GIF87a")) || bytes.HasPrefix(b, []byte("GIF89a"))):
		w, h = int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:]))
	case len(b) >= 30 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		w, h = webpSize(b)
	case bytes.HasPrefix(b, []byte{0xFF, 0xD8}):
		return jpegSize(b)
	}
	return w, h, w > 0 && h > 0
}

// webpSize reads the first chunk of a WebP file: lossy, lossless or extended.
func webpSize(b []byte) (w, h int) {
	switch string(b[12:16]) {
	case "VP8 ":
		if !bytes.Equal(b[23:26], []byte{0x9D, 0x01, 0x2A}) {
			return 0, 0
		}
		return int(binary.LittleEndian.Uint16(b[26:]) & 0x3FFF), int(binary.LittleEndian.Uint16(b[28:]) & 0x3FFF)
	case "VP8L":
		if b[20] != 0x2F {
			return 0, 0
		}
		bits := binary.LittleEndian.Uint32(b[21:])
		return int(bits&0x3FFF) + 1, int(bits>>14&0x3FFF) + 1
	case "VP8X":
		return uint24(b[24:]) + 1, uint24(b[27:]) + 1
	default:
		return 0, 0
	}
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// jpegSize walks the segments of a JPEG file up to its frame header.
func jpegSize(b []byte) (w, h int, ok bool) {
	for i := 2; i+9 <= len(b) && b[i] == 0xFF; {
		switch marker := b[i+1]; {
		case marker == 0xFF: // padding
			i++
		case marker == 0x01 || marker >= 0xD0 && marker <= 0xD8: // no length
			i += 2
		case isFrame(marker):
			h, w = int(binary.BigEndian.Uint16(b[i+5:])), int(binary.BigEndian.Uint16(b[i+7:]))
			return w, h, w > 0 && h > 0
		case marker == 0xD9 || marker == 0xDA: // the image ends or begins without a frame
			return 0, 0, false
		default:
			i += 2 + max(2, int(binary.BigEndian.Uint16(b[i+2:])))
		}
	}
	return 0, 0, false
}

// isFrame reports whether a marker begins a frame header. Three of that range
// begin tables.
func isFrame(marker byte) bool {
	return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC
}
