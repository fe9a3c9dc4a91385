package delivery

import (
	"strings"
	"unicode/utf16"
)

// The alphabet of 3GPP TS 23.038 §6.2.1, in its order and without the escape, and its extension table §6.2.1.1, each
// of whose characters takes two septets. The default language is meant: no gateway is known to use a national one.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtended = "\f^{}\\[~]|€"
)

// What one SMS holds (3GPP TS 23.038 §6.2).
const (
	maxSeptets = 160
	maxUCS2    = 70 // units of 16 bits
)

// fitsOneSMS reports whether text is sent as one SMS, by whoever encodes it as shortly as can be.
func fitsOneSMS(text string) bool {
	septets := 0
	for _, r := range text {
		switch {
		case strings.ContainsRune(gsmBasic, r):
			septets++
		case strings.ContainsRune(gsmExtended, r):
			septets += 2
		default:
			return len(utf16.Encode([]rune(text))) <= maxUCS2
		}
	}
	return septets <= maxSeptets
}
