"""Word lists for the bundled model's data, split into what training may use and what is held out for measuring.

Knows no tools and no sentences. `TRAIN` and `HELD_OUT` have the same fields and share no word; numbers are split by a
rule (`number_is_held_out`), and words are invented from two disjoint inventories.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words by role. `onsets` and `rimes` build invented words."""

    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    cities: tuple[str, ...]
    countries: tuple[str, ...]
    companies: tuple[str, ...]
    products: tuple[str, ...]
    foods: tuple[str, ...]
    topics: tuple[str, ...]
    messages: tuple[str, ...]
    onsets: tuple[str, ...]
    rimes: tuple[str, ...]
    held_out: bool
    invented_share: float
    pieces: tuple[str, ...] = ()

    def invented(self, rng: random.Random, parts: tuple[int, int] = (1, 4)) -> str:
        """A word that no language has: syllables, or pieces of this lexicon's words, as `moltar` or `arthqueb`.

        With `pieces`, most are put together from those instead: any token may be part of what is to be copied.
        """
        low, high = parts
        if self.held_out:  # its long syllables come in twos at most
            return self._syllables(rng, rng.randint(low, min(high, 2)))
        while True:
            if self.pieces and rng.random() < 0.7:
                word = "".join(rng.choice(self.pieces) for _ in range(rng.randint(low, min(high, 3))))
            elif rng.random() < 0.3:
                word = self._syllables(rng, rng.randint(low, high))
            else:
                word = "".join(self._piece(rng) for _ in range(rng.randint(max(low, 2), high)))
            if word not in held_out_words():
                return word

    def pick(self, rng: random.Random, role: str) -> str:
        """A word or phrase of a role, or an invented one instead for `invented_share` of the draws.

        Copying has to be learned for words never seen, and a closed list would be learned by heart.
        """
        pool: tuple[str, ...] = getattr(self, role)
        if self.invented_share and rng.random() < self.invented_share:
            word = self.invented(rng)
            return word.capitalize() if pool[0][0].isupper() else word
        return rng.choice(pool)

    def _syllables(self, rng: random.Random, count: int) -> str:
        return "".join(rng.choice(self.onsets) + rng.choice(self.rimes) for _ in range(count))

    def _piece(self, rng: random.Random) -> str:
        word = rng.choice(rng.choice((self.nouns, self.verbs, self.adjectives, self.last_names))).lower()
        start = rng.randrange(len(word))
        return word[start : start + rng.randint(1, 4)]


@functools.cache
def held_out_words() -> frozenset[str]:
    """The words of `HELD_OUT`'s names and things, in lower case, so that none is invented by chance."""
    names = (*HELD_OUT.first_names, *HELD_OUT.last_names, *HELD_OUT.cities, *HELD_OUT.countries)
    things = (*HELD_OUT.companies, *HELD_OUT.products, *HELD_OUT.foods)
    phrases = (*HELD_OUT.verbs, *HELD_OUT.nouns, *HELD_OUT.adjectives, *names, *things)
    return frozenset(word.lower() for phrase in phrases for word in phrase.split())


def number_is_held_out(value: int) -> bool:
    """The rule that splits numbers from 10 on; smaller ones are shared, for there are too few of them."""
    return value >= 10 and value % 11 == 4


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split("|"))


TRAIN = Lexicon(
    verbs=_words("""
        get set find list add remove create delete update check start stop open close send fetch read write
        move copy rename search lookup count sort filter merge split book cancel order buy sell pay rent hire
        assign invite approve reject schedule postpone track trace measure weigh compare convert translate
        summarize classify label tag archive restore backup export import upload download sync share publish
        hide show render draw print scan record play pause resume skip mute lock unlock arm disarm enable
        disable connect disconnect pair reset reboot install deploy rollback scale monitor ping query insert
        validate verify sign encrypt compress extract rotate crop resize blur paint clean wash dry cook bake
        heat cool water feed walk train test grade enroll register subscribe unsubscribe refund ship return
        pack deliver collect reserve release borrow lend renew report estimate predict forecast analyze audit
        inspect repair replace charge transfer deposit withdraw donate vote rate review follow block flag pin
        bookmark capture log note remind notify warn wake dim brighten adjust calibrate
    """),
    nouns=_words("""
        account alarm album alert animal answer apartment app appointment archive article asset attachment
        auction badge balance battery beam bed benchmark bicycle bill blanket boat bolt bond bottle box branch
        bridge broadcast bucket budget bug building bus button cabin cable cache calculator camera campaign
        candle car card cargo cart case catalog ceiling certificate chain chair channel chapter chart chat
        city class client clip clock cloud cluster coach coat code coin collection color column comment commit
        community component concert contact container contract cookie copy country coupon course crate crew
        crop curtain customer dashboard database deadline debt deck delivery deployment desk device diagram
        diary discount disk display doctor document domain door drawer dress driver drone drug edge element
        elevator employee endpoint engine envelope error estate event exam expense factory family fan farm fee
        feed fence field figure file filter flag flight floor flower folder font forest form formula frame
        freezer friend fuel game garage garden gas gate gift glass goal grade grant graph greenhouse group
        guest guide guitar hall hammer harbor hat heater highway hose hospital hotel house image index
        ingredient insurance interview inventory invoice island issue item jacket job journal journey judge
        key kitchen label ladder lake lamp language laptop laundry lawn layer lead lease lecture ledger lesson
        letter level library licence light line link list loan locker log lot luggage machine magazine map
        market match material meal medal medicine member menu message meter mirror mission model module
        monitor motor mountain movie museum needle network newsletter night note notebook notice number nurse
        object office oil operator orchestra order oven owner package page paint painting palette panel paper
        parcel park part party passenger passport password patch path patient payment pen pension permit
        person photo piano picture pier pilot pipe plan planet plant plate platform player playlist pocket
        podcast poem policy poll pond pool port portfolio poster pot price printer prize process product
        profile program project property puzzle quarter query question queue quote race radio rail rain recipe
        record region release report request reservation resource restaurant result review reward ring river
        road robot role roof room route row rule sail salary sale sample satellite scale school score screen
        script season seat seed sensor server session shelf ship shirt shoe shop signal site sketch slide
        snapshot socket song sound source space speaker sponsor stage stamp star station statue stock stone
        storage store storm story stove street student studio subject subscription suitcase supplier survey
        switch symbol system table tablet tag tank target task tax taxi teacher team template tenant tent test
        text theater thermostat ticket tile timer token tool topic tour tower town toy track trade trail train
        transaction tree trial trip truck tunnel turbine tutor umbrella unit upload user vaccine valve van
        vault vehicle vendor venue version video village visa visit voice volume voucher wage wall wallet
        warehouse warning wave webhook website wedding wheel widget window wire word workflow workout workshop
        yard zone
    """),
    adjectives=_words("""
        active annual blue broken bright busy cheap clean cold common complete cool current daily dark deep
        digital dirty double dry early easy empty fast final first flat free fresh full global golden green
        half happy hard heavy high hot huge inner large last late left light little local long loose loud low
        main major minor mobile modern monthly narrow national new next nice normal old open orange outer paid
        plain private public quick quiet random rare raw recent red remote rich right round secret sharp short
        silent simple single small smart soft solid special square stable strong sweet tall thick thin tiny
        top total upper urgent vivid warm weekly wet white wide wild yellow young
    """),
    first_names=_words("""
        Adam Alice Amara Ana Andre Anna Arjun Ben Bianca Carla Carlos Chen Chloe Clara Daniel David Diego
        Elena Eli Emma Eric Eva Farah Felix Fiona Frank George Grace Hana Hannah Henry Hugo Ibrahim Ines
        Ingrid Isaac Ivan Jack Jada James Jane Javier Jonas Julia Kai Karen Karim Kate Kenji Laura Layla Leo
        Liam Lina Lucas Lucy Luis Maria Marco Mark Marta Maya Mei Mia Mike Mina Nadia Nathan Nina Noah Nora
        Oliver Omar Oscar Paul Pedro Peter Priya Rachel Raj Rita Robert Rosa Ruth Sam Sara Sofia Sven Tara
        Theo Tom Uma Vera Victor Wei William Yara Yuki Zoe
    """),
    last_names=_words("""
        Adams Ahmed Allen Alvarez Baker Bauer Bell Bianchi Brown Burns Campbell Carter Chen Clark Cohen Cook
        Costa Cruz Davis Diaz Dubois Evans Fischer Flores Foster Garcia Gomez Gray Green Gupta Haas Hall
        Harris Hill Hoffman Hughes Ito Ivanov Jensen Johnson Jones Kaya Kelly Khan Kim King Klein Kumar Lang
        Larsen Lee Lewis Lopez Martin Meyer Miller Moore Morgan Morris Murphy Nelson Nguyen Novak Olsen Park
        Patel Perez Petrov Reed Reyes Rivera Roberts Rossi Russo Sato Schmidt Shah Silva Singh Smith Stone
        Suzuki Taylor Thomas Torres Turner Walker Wang Ward Weber White Wilson Wong Wood Wright Yang Young
        Zhang
    """),
    cities=_phrases("""
        Paris | London | Berlin | Madrid | Rome | Vienna | Prague | Warsaw | Lisbon | Dublin | Oslo |
        Stockholm | Helsinki | Athens | Tokyo | Osaka | Seoul | Beijing | Shanghai | Delhi | Mumbai |
        Bangkok | Singapore | Jakarta | Manila | Sydney | Melbourne | Auckland | Cairo | Lagos | Nairobi |
        Cape Town | Accra | Tunis | New York | Los Angeles | Chicago | Boston | Seattle | Denver | Miami |
        Dallas | Toronto | Montreal | Vancouver | Mexico City | Lima | Bogota | Santiago | Buenos Aires |
        Quito | Havana | Istanbul | Ankara | Dubai | Doha | Riyadh | Moscow | Kyiv | Budapest | Zurich |
        Geneva | Milan | Naples | Turin | Munich | Hamburg | Cologne | Lyon | Nice | Porto | Seville |
        Valencia | Bilbao | Glasgow | Cardiff | Bristol | Leeds | Rotterdam | Utrecht | Ghent | Bruges |
        Kyoto | Hanoi | San Diego | Phoenix | Austin | Portland | Detroit | Orlando | Salt Lake City |
        Ho Chi Minh City | Rio de Janeiro
    """),
    countries=_phrases("""
        France | Germany | Spain | Italy | Poland | Sweden | Norway | Greece | Turkey | Egypt | Kenya |
        Ghana | Morocco | India | China | Japan | Vietnam | Thailand | Australia | Canada | Mexico | Brazil |
        Chile | Peru | Argentina | South Korea | South Africa | the Netherlands | Switzerland | Belgium
    """),
    companies=_phrases("""
        Acme | Globex | Initech | Northwind | Contoso | Bluebird Labs | Silver Oak | River and Sons |
        Green Valley | Bright Metal | Union Paper | Ocean Foods | Red Brick | Star Freight | Copper Works |
        Hill Bank | Maple Health | Delta Tools | Sun Power
    """),
    products=_phrases("""
        wireless mouse | running shoes | coffee grinder | desk lamp | yoga mat | water bottle | phone case |
        backpack | headphones | office chair | electric kettle | winter jacket | usb cable | keyboard |
        air fryer | memory card | toothbrush | blender | hiking boots | smart watch | sleeping bag |
        rain coat | tennis racket | frying pan | garden hose
    """),
    foods=_phrases("""
        pizza | sushi | lasagna | chicken soup | fried rice | tacos | pancakes | caesar salad | burger |
        pad thai | ramen | omelette | apple pie | falafel | lentil stew | fish and chips | spring rolls |
        banana bread | pea soup | mushroom risotto | fries
    """),
    topics=_phrases("""
        how to tie a tie | best laptops under 500 | history of the bicycle | solar panel prices |
        black holes | roman empire | train strikes | vegan recipes | learning guitar | climate change |
        old maps | how batteries work | football results | electric cars | tax rules for freelancers |
        cheap flights | bird migration | volcanoes | home insulation | modern art | how to remove stains |
        sleep and health | stock market news | photo tips | chess openings | sourdough starter |
        the moon landing | space telescopes | running plans | whale songs
    """),
    messages=_phrases("""
        I will be ten minutes late | the meeting is moved to the big room | please call me back |
        dinner is ready | thanks for your help yesterday | the package has arrived | we need more paper |
        happy birthday | see you on monday | the report is done | can you review my draft |
        I left the keys on the table | the printer is broken again | good luck with the exam |
        the train was cancelled | please bring a warm coat | the invoice is paid |
        let us meet at the station | I love the new design | do not forget the tickets | the server is down |
        we won the match | your order is on its way | the plan looks good to me | I am on my way |
        could you send the slides | lunch is on me today | the window is still open | we are out of milk
    """),
    onsets=_words("b d f g h k l m n p r s t v br dr gr kl pl st tr"),
    rimes=_words("a e i o u an el in or ul as en ik om ar"),
    held_out=False,
    invented_share=0.45,
)

HELD_OUT = Lexicon(
    verbs=_words("""
        fold polish weave dispatch gather harvest tune stitch mint forge ferry herd etch brew knit graft tow
        seal carve reroute tally moor annotate scrub catalogue refuel anchor sharpen
    """),
    nouns=_words("""
        anvil barge beacon bobbin canopy chalice compass crayon dagger easel falcon gasket gondola hinge kayak
        kettle lantern lever loom mallet marble meadow mosaic nozzle obelisk paddle parasol pebble pergola
        pulley quill rafter saddle scarf scroll sluice spindle stencil tapestry thimble trellis trowel tugboat
        turret urn vineyard walnut weir yacht zeppelin
    """),
    adjectives=_words("""
        amber ancient brittle crimson dusty eager faint gentle hollow icy jagged keen lunar misty noble olive
        purple rusty scarlet sturdy velvet wooden
    """),
    first_names=_words(
        "Agnes Boris Celeste Dmitri Esther Florian Gideon Hilda Imogen Jasper Kirsten Lorenzo Mabel Nikolai "
        "Ophelia Percy Quentin Rowena Silas Tabitha Ulrich Viola Wanda Xavier Yvonne Zelda"
    ),
    last_names=_words(
        "Abbott Blackwood Crowther Dalgaard Eastman Fairfax Goldberg Hawthorne Inglis Jarvis Kowalski Lindqvist "
        "Mortensen Norwood Osborne Pemberton Quigley Radford Sandoval Thackeray Underwood Vandermeer Whitlock"
    ),
    cities=_phrases("""
        Reykjavik | Tallinn | Riga | Vilnius | Bratislava | Ljubljana | Zagreb | Sarajevo | Tirana | Skopje |
        Tbilisi | Yerevan | Baku | Tashkent | Ulaanbaatar | Kathmandu | Colombo | Windhoek | Lusaka | Harare |
        Dakar | Asuncion | Montevideo | Halifax | Bergen | Aarhus | Tampere | Graz | Trieste | Nantes
    """),
    countries=_phrases("""
        Iceland | Estonia | Latvia | Slovenia | Croatia | Georgia | Nepal | Namibia | Uruguay | Paraguay
    """),
    companies=_phrases("""
        Kestrel Optics | Foxglove | Ironbridge | Larkspur Dairy | Quarry Lane | Tidewater
    """),
    products=_phrases("""
        bamboo flute | folding ruler | leather wallet | brass telescope | wool socks | ladder stool |
        silk tie
    """),
    foods=_phrases("""
        goulash | paella | shakshuka | borscht | gnocchi | moussaka | plum cake | onion tart
    """),
    topics=_phrases("""
        medieval bridges | how glaciers move | antique typewriters | coral reefs | origami cranes |
        the silk road | lighthouse keepers | wooden boats
    """),
    messages=_phrases("""
        the ferry leaves at dawn | we found your blue umbrella | the choir sings tomorrow |
        please feed the goats | the lantern needs new oil | your violin is tuned | the bakery ran out of rye |
        the bridge is closed for repairs
    """),
    onsets=_words("z w j y c cr fl gl pr sn sk tw sw"),
    rimes=_words("ea ou ai ob ug eth ist onk urm ib ask elt"),
    held_out=True,
    invented_share=0.0,
)
