"""Who appears in the demo: cultures, names, companies, devices and the channels people arrive by.

Everything is invented. Mail domains end in .example, addresses and telephone numbers come from the ranges reserved for
fiction, and the only real host names are the referrers a search engine or a social network would send.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import NamedTuple


class Dice(Random):
    """The one source of chance: the same seed tells the same story."""

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random() < probability

    def token(self, length: int) -> str:
        """Lower-case hexadecimal of this many characters."""
        return f"{self.getrandbits(4 * length):0{length}x}"

    def vendor_id(self, prefix: str) -> str:
        """An id such as cus_8f0c... in the manner of payment providers."""
        return f"{prefix}_1{self.token(18)}"

    def uuid(self) -> str:
        """A version 4 UUID as text."""
        raw = self.token(32)
        return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"


class Culture(NamedTuple):
    """A country's people. Names are `written/romanised` where the alphabet is not Latin."""

    country: str
    locale: str
    offset: int  # hours ahead of UTC
    timezone: str
    currency: str
    weight: float
    given: tuple[str, ...]
    family: tuple[str, ...]
    legal_form: str
    phone: tuple[str, ...] = ()  # ranges reserved for fiction, # stands for a digit
    family_first: bool = False


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in text.split())


CULTURES = (
    Culture(
        "US",
        "en-US",
        -5,
        "America/New_York",
        "usd",
        30,
        _names("Olivia Noah Ava Ethan Maya Caleb Harper Isaiah Naomi Wyatt Tiana DeShawn Grace Logan Priscilla Hunter"),
        _names("Walker Nguyen Robinson Alvarez Brooks Sullivan Washington Kowalczyk O'Connor Patel Hayes St._Clair"),
        "LLC",
        tuple(f"+1{area}55501##" for area in (202, 303, 404, 415, 503, 617, 702, 808)),
    ),
    Culture(
        "GB",
        "en-GB",
        0,
        "Europe/London",
        "gbp",
        13,
        _names("Amelia Oliver Isla Callum Freya Rhys Niamh Angharad Imran Poppy Alistair Zara"),
        _names("Hughes Ashworth MacLeod Llewellyn Okafor Begum Pemberton Fitzwilliam-Harcourt Singh Drummond"),
        "Ltd",
        ("+447700900###",),
    ),
    Culture(
        "DE",
        "de-DE",
        1,
        "Europe/Berlin",
        "eur",
        9,
        _names("Jürgen Anneliese Lukas Käthe Björn Sabine Yusuf Leonie Götz Marlene"),
        _names("Müller Schäfer Weiß Yıldırım von_der_Heydt Krüger Oberndörfer Lindemann Groß"),
        "GmbH",
        ("+493023125###",),
    ),
    Culture(
        "FR",
        "fr-FR",
        1,
        "Europe/Paris",
        "eur",
        7,
        _names("Zoé Élodie Jean-Baptiste Chloé Aurélien Maëlys Théo Aïcha François Solène"),
        _names("Lefèvre Dubois Garçon Benhaddou de_La_Rochefoucauld Noël Petit Béranger"),
        "SARL",
        ("+33199004###",),
    ),
    Culture(
        "ES",
        "es-ES",
        1,
        "Europe/Madrid",
        "eur",
        5,
        _names("Lucía Íñigo María_del_Carmen Álvaro Nuria Joaquín Begoña Andrés"),
        _names("García_Márquez Núñez Ibáñez Echevarría Muñoz Peña López"),
        "S.L.",
    ),
    Culture(
        "IT",
        "it-IT",
        1,
        "Europe/Rome",
        "eur",
        4,
        _names("Niccolò Giulia Loredana Matteo Chiara Ruggero"),
        _names("D'Angelo Esposito Ricci Bevilacqua Lo_Giudice Ferrari"),
        "S.r.l.",
    ),
    Culture(
        "NL",
        "nl-NL",
        1,
        "Europe/Amsterdam",
        "eur",
        4,
        _names("Sanne Daan Wilhelmina-Charlotte Joost Fenna Thijs"),
        _names("de_Vries van_den_Heuvel-Oosterhout Jansen 't_Hooft Bakker"),
        "B.V.",
    ),
    Culture(
        "PL",
        "pl-PL",
        1,
        "Europe/Warsaw",
        "eur",
        3,
        _names("Małgorzata Łukasz Zofia Paweł Agnieszka"),
        _names("Wiśniewska Wójcik Żółkiewski Brzęczyszczykiewicz Nowak"),
        "sp. z o.o.",
    ),
    Culture(
        "SE",
        "sv-SE",
        1,
        "Europe/Stockholm",
        "eur",
        3,
        _names("Åsa Björn Linnéa Östen Märta"),
        _names("Sjögren Åkerström Lindqvist Bäckman"),
        "AB",
    ),
    Culture(
        "BR",
        "pt-BR",
        -3,
        "America/Sao_Paulo",
        "usd",
        4,
        _names("João Conceição Thaís Antônio Luíza Caetano"),
        _names("Gonçalves da_Silva Magalhães Araújo Brandão"),
        "Ltda",
    ),
    Culture(
        "MX",
        "es-MX",
        -6,
        "America/Mexico_City",
        "usd",
        3,
        _names("Xóchitl José_Ángel Guadalupe Ramón Citlali"),
        _names("Hernández Zúñiga Cuauhtémoc Peñaloza Ortiz"),
        "S.A. de C.V.",
    ),
    Culture(
        "IN",
        "hi-IN",
        5,
        "Asia/Kolkata",
        "usd",
        4,
        _names("अनन्या/ananya Rohan Lakshmi विक्रम/vikram Siddharth Meenakshi"),
        _names("शर्मा/sharma Iyer Venkataraghavan Chatterjee Reddy"),
        "Pvt Ltd",
    ),
    Culture(
        "JP",
        "ja-JP",
        9,
        "Asia/Tokyo",
        "usd",
        3,
        _names("太郎/taro さくら/sakura 健一/kenichi 陽菜/hina 美咲/misaki"),
        _names("山田/yamada 佐藤/sato 長谷川/hasegawa 小鳥遊/takanashi"),
        "K.K.",
        family_first=True,
    ),
    Culture(
        "CN",
        "zh-CN",
        8,
        "Asia/Shanghai",
        "usd",
        2,
        _names("伟/wei 秀英/xiuying 子涵/zihan 静/jing"),
        _names("王/wang 欧阳/ouyang 李/li 诸葛/zhuge"),
        "Co., Ltd.",
        family_first=True,
    ),
    Culture(
        "KR",
        "ko-KR",
        9,
        "Asia/Seoul",
        "usd",
        2,
        _names("민준/minjun 서연/seoyeon 지우/jiwoo 하은/haeun"),
        _names("김/kim 박/park 남궁/namgung 이/lee"),
        "Inc.",
        family_first=True,
    ),
    Culture(
        "EG",
        "ar-EG",
        2,
        "Africa/Cairo",
        "usd",
        2,
        _names("فاطمة/fatima محمد/mohamed ليلى/layla يوسف/youssef"),
        _names("المصري/elmasry حسن/hassan عبد_الرحمن/abdelrahman"),
        "S.A.E.",
    ),
    Culture(
        "GR",
        "el-GR",
        2,
        "Europe/Athens",
        "eur",
        1.5,
        _names("Ελένη/eleni Γιώργος/giorgos Αθηνά/athina"),
        _names("Παπαδόπουλος/papadopoulos Αγγελοπούλου/angelopoulou"),
        "A.E.",
    ),
    Culture(
        "UA",
        "uk-UA",
        2,
        "Europe/Kyiv",
        "eur",
        1.5,
        _names("Олена/olena Тарас/taras Мар'яна/mariana"),
        _names("Шевченко/shevchenko Ковальчук/kovalchuk"),
        "LLC",
    ),
    Culture(
        "VN",
        "vi-VN",
        7,
        "Asia/Ho_Chi_Minh",
        "usd",
        1.5,
        _names("Thảo Đức Nguyệt Quỳnh"),
        _names("Nguyễn Trần Phạm Đặng"),
        "JSC",
        family_first=True,
    ),
    Culture(
        "NG",
        "en-NG",
        1,
        "Africa/Lagos",
        "usd",
        2,
        _names("Chidinma Olúwaseun Adébáyọ̀ Ngozi Emeka"),
        _names("Okonkwo Adéyẹmí Balogun Eze"),
        "Ltd",
    ),
    Culture(
        "AU",
        "en-AU",
        10,
        "Australia/Sydney",
        "usd",
        4,
        _names("Matilda Lachlan Kirra Jack Evie Bruce"),
        _names("Campbell Tran Papadakis Gallagher McAllister"),
        "Pty Ltd",
    ),
    Culture(
        "IS",
        "is-IS",
        0,
        "Atlantic/Reykjavik",
        "eur",
        0.7,
        _names("Þórdís Snæbjörn Ásgerður"),
        _names("Guðmundsdóttir Þorvaldsson Sæmundsdóttir"),
        "ehf.",
    ),
)

INDUSTRIES = {
    "Legal": ("Law", "Notaries", "Legal"),
    "Accounting": ("Accountants", "Tax & Audit", "Bookkeeping"),
    "Real estate": ("Realty", "Homes", "Estates"),
    "Healthcare": ("Dental", "Family Clinic", "Physiotherapy"),
    "Non-profit": ("Foundation", "Relief", "Trust"),
    "Education": ("Academy", "Language School", "College"),
    "E-commerce": ("Outfitters", "Tea", "Ceramics", "Goods"),
    "Insurance": ("Insurance", "Mutual"),
    "Property management": ("Property Care", "Lettings"),
    "Recruitment": ("Talent", "Staffing"),
    "Hospitality": ("Hotels", "Inns"),
    "Logistics": ("Freight", "Couriers"),
    "Software": ("Software", "Labs", "Systems"),
}
_STEMS = _names(
    "Kestrel Baobab Nordwind Saltmarsh Juniper Halcyon Bluebird Marigold Tamarind Quarry Larkspur Driftwood Obsidian "
    "Sundial Copperfield Fjordlight Papaya Beacon Wren Monsoon Caravel Thistle Lodestar Bramble Cobalt Evergreen "
    "Harbour Ironbark Jacaranda Lantern Meridian Nettle Orchard Peregrine Quill Rosewood Sequoia Tidewater Umbra "
    "Velvet Willow Yarrow Zephyr Alder Borealis Cinder Dovetail Ember Foxglove Granite Heron Isthmus Jasper Kindling"
)
_LONG_COMPANY = "The Worshipful Company of Stationers, Bookbinders and Letterpress Printers of Lower Wetherby"
_POST_BOXES = ("postbox.example", "mailhaus.example", "inbox.example")
_TRANSLITERATED = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "ı": "i", "þ": "th", "ð": "d", "æ": "ae"})

_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1"
BROWSERS = (
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_SAFARI} Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
    f"Mozilla/5.0 (X11; Linux x86_64) {_CHROME} Safari/537.36",
)
PHONES = (
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {_SAFARI} Mobile/15E148 Safari/604.1",
    f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {_CHROME} Mobile Safari/537.36",
)
SCANNERS = (
    "Mozilla/5.0 (compatible; Barracuda Sentinel (EE))",
    "Mozilla/5.0 (Windows NT 10.0; WOW64) Proofpoint-URL-Defense/2.1 (bot; link scanner)",
)


class Channel(NamedTuple):
    """A way people arrive. `signup` and `paid` are the chances of the next step on average."""

    key: str
    weight: float
    signup: float
    paid: float
    referrers: tuple[str, ...] = ()
    utm_source: str = ""
    utm_medium: str = ""
    campaigns: tuple[str, ...] = ()
    click_id: str = ""


CHANNELS = (
    Channel(
        "organic",
        27,
        0.44,
        0.36,
        ("https://www.google.com/", "https://www.bing.com/", "https://duckduckgo.com/"),
    ),
    Channel(
        "google_ads",
        19,
        0.42,
        0.29,
        ("https://www.google.com/",),
        "google",
        "cpc",
        ("brand", "send-letters-online", "mail-merge-alternative", "certified-mail"),
        "gclid",
    ),
    Channel(
        "meta_ads",
        14,
        0.34,
        0.16,
        ("https://l.facebook.com/", "https://www.instagram.com/"),
        "facebook",
        "paid_social",
        ("lookalike-smb", "retargeting-pricing", "spring-video"),
        "fbclid",
    ),
    Channel(
        "newsletter", 7, 0.55, 0.38, (), "newsletter", "email", ("monthly-digest", "product-update", "customer-stories")
    ),
    Channel("referral", 9, 0.66, 0.46, (), "customer-referral", "referral", ("give-20-get-20",)),
    Channel("social", 8, 0.33, 0.22, ("https://www.linkedin.com/", "https://www.reddit.com/", "https://t.co/")),
    Channel("direct", 12, 0.50, 0.35),
    Channel(
        "partner",
        4,
        0.62,
        0.44,
        ("https://ledgerleaf.example/",),
        "ledgerleaf",
        "partner",
        ("accounting-bundle",),
    ),
)


@dataclass(frozen=True, slots=True)
class Touch:
    """How one visit began: what the landing address and the referrer say."""

    channel: Channel
    referrer: str = ""
    campaign: str = ""
    term: str = ""
    click_id: str = ""

    @property
    def query(self) -> str:
        """The search part of the landing address, with its question mark; empty for an untagged visit."""
        pairs = (
            ("utm_source", self.channel.utm_source),
            ("utm_medium", self.channel.utm_medium),
            ("utm_campaign", self.campaign),
            ("utm_term", self.term),
            (self.channel.click_id, self.click_id),
        )
        tagged = "&".join(f"{key}={value}" for key, value in pairs if key and value)
        return f"?{tagged}" if tagged else ""


DIRECT = Touch(next(channel for channel in CHANNELS if channel.key == "direct"))
NEWSLETTER = next(channel for channel in CHANNELS if channel.key == "newsletter")


@dataclass(frozen=True, slots=True)
class Company:
    """An employer: its name, its mail domain and what it does."""

    name: str
    domain: str
    industry: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who comes by. `user` is the id the product gives at sign-up; visitors who leave never use theirs."""

    user: str
    anonymous: str
    culture: Culture
    given: str
    family: str
    email: str
    phone: str
    company: Company | None
    touch: Touch
    browser: str
    ip: str
    keenness: float  # about 1; how much this person does

    @property
    def name(self) -> str:
        """The full name in its own order."""
        order = (self.family, self.given) if self.culture.family_first else (self.given, self.family)
        return " ".join(order)


@lru_cache(maxsize=4096)
def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower().translate(_TRANSLITERATED))
    return "".join(letter for letter in plain if letter.isascii() and (letter.isalnum() or letter == "-")).strip("-")


class Cast:
    """Draws people one by one; employers come again, addresses and numbers never do."""

    def __init__(self, dice: Dice, domain: str) -> None:
        self._dice = dice
        self._domain = domain
        self._companies: list[Company] = []
        self._taken: set[str] = set()  # addresses and numbers: two people never share one by accident
        self._weights = [culture.weight for culture in CULTURES]
        self._channel_weights = [channel.weight for channel in CHANNELS]

    def person(self) -> Person:
        """A new visitor."""
        dice = self._dice
        culture = dice.choices(CULTURES, self._weights)[0]
        company = self._company(culture) if dice.chance(0.8) else None
        return self._someone(culture, company, self.touch(), company.domain if company else dice.choice(_POST_BOXES))

    def employee(self) -> Person:
        """Somebody who works for the brand itself."""
        home = Company(self._domain.partition(".")[0].title(), self._domain, "Software")
        return self._someone(CULTURES[1], home, DIRECT, self._domain)

    def touch(self, channel: Channel | None = None) -> Touch:
        """The beginning of a visit that somebody's campaign, link or search brought about."""
        dice = self._dice
        channel = channel or dice.choices(CHANNELS, self._channel_weights)[0]
        return Touch(
            channel,
            dice.choice(channel.referrers) if channel.referrers else "",
            dice.choice(channel.campaigns) if channel.campaigns else "",
            dice.choice(("letters", "mail-letter-online", "print-and-post")) if channel.click_id == "gclid" else "",
            f"{'Cj0K' if channel.click_id == 'gclid' else 'IwZX'}{dice.token(24)}" if channel.click_id else "",
        )

    def _someone(self, culture: Culture, company: Company | None, touch: Touch, domain: str) -> Person:
        dice = self._dice
        given, _, given_latin = dice.choice(culture.given).partition("/")
        family, _, family_latin = dice.choice(culture.family).partition("/")
        return Person(
            user=f"usr_{dice.token(12)}",
            anonymous=dice.uuid(),
            culture=culture,
            given=given,
            family=family,
            email=self._email(given_latin or given, family_latin or family, domain),
            phone=self._phone(culture) if dice.chance(0.4) else "",
            company=company,
            touch=touch,
            browser=dice.choice(PHONES if dice.chance(0.3) else BROWSERS),
            ip=f"{dice.choice(('192.0.2', '198.51.100', '203.0.113'))}.{dice.randrange(1, 255)}",
            keenness=min(4.0, dice.lognormvariate(-0.15, 0.6)),
        )

    def _email(self, given: str, family: str, domain: str) -> str:
        local = f"{_ascii(given) or 'hello'}.{_ascii(family) or 'office'}"
        email, number = f"{local}@{domain}", 1
        while email in self._taken:
            number += 1
            email = f"{local}{number}@{domain}"
        self._taken.add(email)
        return email

    def _phone(self, culture: Culture) -> str:
        if not culture.phone:
            return ""
        digits = (str(self._dice.randrange(10)) if mark == "#" else mark for mark in self._dice.choice(culture.phone))
        phone = "".join(digits)
        if phone in self._taken:
            return ""
        self._taken.add(phone)
        return phone

    def _company(self, culture: Culture) -> Company:
        dice = self._dice
        if self._companies and dice.chance(0.12):
            return dice.choice(self._companies)
        if dice.chance(0.001):
            return Company(_LONG_COMPANY, "stationers-of-lower-wetherby.example", "Non-profit")
        industry = dice.choice(tuple(INDUSTRIES))
        stem, kind = dice.choice(_STEMS), dice.choice(INDUSTRIES[industry])
        slug = "-".join(part for part in (_ascii(word) for word in f"{stem} {kind}".split()) if part)
        company = Company(f"{stem} {kind} {culture.legal_form}", f"{slug}.example", industry)
        self._companies.append(company)
        return company
