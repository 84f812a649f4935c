"""Which column of an export is which field of a deal.

A mapping is plain data, ``{field: column name}``, that is guessed from the column names, corrected by
the user and saved as JSON.  Column names are recognised as Salesforce reports, Data Loader and HubSpot
write them, in English and a few more languages, whatever the case, spacing and punctuation.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.errors import Problem

SALESFORCE, HUBSPOT, OTHER = "salesforce", "hubspot", "other"


@dataclass(frozen=True)
class Field:
    """A field of a deal that a column can fill; ``label`` is its name on the screen."""

    name: str
    label: str
    required: bool = False


FIELDS = (
    Field("external_id", "Deal ID"),
    Field("name", "Deal name"),
    Field("account", "Account"),
    Field("owner", "Owner", required=True),
    Field("stage", "Stage", required=True),
    Field("amount", "Amount", required=True),
    Field("currency", "Currency"),
    Field("close_date", "Close date", required=True),
    Field("created_date", "Created date"),
    Field("type", "Type"),
    Field("product", "Product"),
    Field("segment", "Segment"),
    Field("probability", "Probability"),
    Field("margin", "Margin"),
    Field("quantity", "Quantity"),
    Field("term_months", "Term in months"),
)

# Column names of each source, the ones to prefer first: Salesforce, HubSpot, anything else.
_SPELLINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "external_id": (
        (
            "Opportunity ID", "Opportunity ID (18)", "Opportunity ID 18", "Case Safe Opportunity ID",
            "Case Safe ID", "Opportunity: ID", "Opportunity: Opportunity ID", "Id", "OpportunityId",
            "Opportunity-ID", "ID de l'opportunité", "ID d'opportunité", "Id. de oportunidad",
            "ID de la oportunidad",
        ),
        (
            "Record ID", "hs_object_id", "Deal ID", "Datensatz-ID", "Deal-ID", "ID de fiche d'informations",
            "ID d'enregistrement", "ID de la transaction", "ID de registro", "ID del negocio",
        ),
        ("External ID", "Order ID", "Order Number", "Invoice Number", "Transaction ID", "Reference"),
    ),
    "name": (
        (
            "Opportunity Name", "Opportunity: Opportunity Name", "Opportunity: Name", "Name", "Opportunity",
            "Opportunity-Name", "Opportunityname", "Nom de l'opportunité", "Nombre de la oportunidad",
        ),
        ("Deal Name", "dealname", "Deal-Name", "Nom de la transaction", "Nombre del negocio"),
        ("Deal", "Title", "Order Name"),
    ),
    "account": (
        (
            "Account Name", "Account: Account Name", "Account.Name", "Opportunity: Account Name", "Account",
            "Opportunity: Account", "Accountname", "Account-Name", "Nom du compte", "Nombre de la cuenta",
            "Account ID",
        ),
        (
            "Associated Company", "Associated Company (Primary)", "Primary Associated Company",
            "Associated Companies", "Primary Company", "Zugehöriges Unternehmen",
            "Zugeordnetes Unternehmen",
            "Entreprise associée", "Empresa asociada",
        ),
        ("Company", "Company Name", "Customer", "Customer Name", "Client", "Kunde", "Firma", "Unternehmen"),
    ),
    "owner": (
        (
            "Opportunity Owner Email", "Opportunity Owner: Email", "Owner: Email", "Owner.Email",
            "Owner Email",
            "Opportunity Owner", "Opportunity Owner: Full Name", "Opportunity: Owner",
            "Opportunity: Owner Name",
            "Owner Name", "Owner: Full Name", "Owner.Name", "Owner", "Owner ID", "Opportunity-Inhaber",
            "Opportunity Inhaber", "Inhaber", "Propriétaire de l'opportunité",
            "Propietario de la oportunidad",
        ),
        (
            "Deal Owner Email", "Deal owner", "hubspot_owner_id", "HubSpot Owner", "Deal-Inhaber",
            "Zuständiger Mitarbeiter", "Zuständiger Mitarbeiter (Deal)", "Deal zugewiesen an",
            "Propriétaire de la transaction", "Propietario del negocio",
        ),
        ("Sales Rep", "Sales Rep Email", "Salesperson", "Rep", "Rep Email", "Account Executive", "Verkäufer"),
    ),
    "stage": (
        (
            "Stage", "StageName", "Opportunity Stage", "Opportunity: Stage", "Phase", "Opportunity-Phase",
            "Étape", "Etapa",
        ),
        (
            "Deal Stage", "dealstage", "Deal-Phase", "Phase de la transaction", "Étape de la transaction",
            "Etapa del negocio",
        ),
        ("Status", "Deal Status", "Pipeline Stage"),
    ),
    "amount": (
        (
            "Amount", "Opportunity Amount", "Opportunity: Amount", "Total Amount", "Amount (converted)",
            "Betrag", "Opportunity-Betrag", "Betrag (umgerechnet)", "Montant", "Importe",
        ),
        (
            "Deal Amount", "amount_in_home_currency", "Amount in company currency", "Deal-Betrag", "Valor",
            "Cantidad",
        ),
        ("Value", "Deal Value", "Contract Value", "Total", "Total Price", "Revenue", "Price", "Net Amount", "Umsatz"),
    ),
    "currency": (
        (
            "Opportunity Currency", "CurrencyIsoCode", "Currency ISO Code",
            "Opportunity: Opportunity Currency",
            "Opportunity-Währung",
        ),
        ("deal_currency_code", "Deal Currency", "Deal-Währung", "Devise de la transaction"),
        ("Currency", "Currency Code", "Währung", "Devise", "Moneda", "Divisa"),
    ),
    "close_date": (
        (
            "Close Date", "CloseDate", "Opportunity Close Date", "Opportunity: Close Date", "Closed Date",
            "Schlusstermin", "Date de clôture", "Fecha de cierre",
        ),
        (
            "closedate", "Deal Close Date", "Abschlussdatum", "Schlussdatum", "Date de fermeture",
            "Fecha de cierre del negocio",
        ),
        (
            "Closing Date", "Closed", "Closed On", "Won On", "Deal Date", "Order Date", "Invoice Date", "Won Date",
            "Date",
        ),
    ),
    "created_date": (
        (
            "Created Date", "CreatedDate", "Opportunity: Created Date", "Opportunity Created Date",
            "Erstelldatum",
            "Date de création", "Fecha de creación",
        ),
        ("Create Date", "createdate", "hs_createdate", "Erstellungsdatum", "Erstellt am"),
        ("Created", "Created At", "Created On", "Date Created"),
    ),
    "type": (
        ("Type", "Opportunity Type", "Opportunity: Type", "Opportunity-Typ", "Typ", "Tipo"),
        ("Deal Type", "dealtype", "Deal-Typ", "Type de transaction", "Tipo de negocio"),
        ("Business Type", "Order Type"),
    ),
    "product": (
        (
            "Product Name", "Product: Product Name", "Product", "Produktname", "Nom du produit",
            "Nombre del producto",
        ),
        ("Line Item Name", "Associated Line Item"),
        ("Products", "Produkt", "Produit", "Producto", "Item", "SKU"),
    ),
    "segment": (
        ("Account Segment", "Account: Segment", "Segment"),
        ("Customer Segment", "Company Segment"),
        ("Market Segment", "Segmento"),
    ),
    "probability": (
        (
            "Probability (%)", "Probability", "Wahrscheinlichkeit (%)", "Wahrscheinlichkeit",
            "Probabilité (%)", "Probabilidad (%)",
        ),
        ("Deal probability", "hs_deal_stage_probability", "Deal-Wahrscheinlichkeit"),
        ("Win Probability", "Likelihood"),
    ),
    "margin": (
        ("Margin", "Gross Margin", "Margin Amount", "Marge"),
        ("Deal Margin",),
        ("Gross Profit", "Profit", "Rohertrag", "Margen"),
    ),
    "quantity": (
        (
            "Quantity", "Total Opportunity Quantity", "TotalOpportunityQuantity", "Menge", "Quantité",
            "Cantidad de productos",
        ),
        ("Line Item Quantity", "Units sold"),
        ("Qty", "Units", "Seats", "Anzahl"),
    ),
    "term_months": (
        (
            "Term (Months)", "Contract Term (months)", "Contract Term", "Contract Length (Months)",
            "Laufzeit (Monate)",
        ),
        ("Contract length", "hs_term_in_months", "Term in months"),
        ("Term", "Term Months", "Months", "Duration (Months)", "Durée (mois)", "Laufzeit"),
    ),
}  # fmt: skip

_SALESFORCE_ONLY = {"stagename", "currencyisocode", "schlusstermin", "ownerid", "casesafeid"}
_HUBSPOT_ONLY = {"recordid", "datensatzid", "iddefichedinformations", "idderegistro"}
_CURRENCY_WORDS = ("currency", "wahrung", "devise", "divisa")


def header_key(header: str) -> str:
    """The letters and digits of a column name, without case and accents: ``Close_Date`` is ``closedate``.

    >>> header_key("Probability (%)"), header_key("Étape"), header_key("Region__c")
    ('probability', 'etape', 'region')
    """
    plain = unicodedata.normalize("NFKD", header.removesuffix("__c").casefold())
    return "".join(letter for letter in plain if letter.isalnum())


_KEYS: dict[str, tuple[tuple[str, ...], ...]] = {
    name: tuple(tuple(header_key(spelling) for spelling in group) for group in groups)
    for name, groups in _SPELLINGS.items()
}
_KNOWN = frozenset(key for groups in _KEYS.values() for group in groups for key in group)


def is_known_header(header: str) -> bool:
    """Whether the column name is one that some CRM gives to a field of a deal."""
    return header_key(header) in _KNOWN


def guess_source(headers: Sequence[str]) -> str:
    """Whose export the columns look like: ``"salesforce"``, ``"hubspot"`` or ``"other"``."""
    keys = [header_key(header) for header in headers]
    # "Name", "Stage" and the like are anyone's; these are not.
    salesforce = sum("opportunit" in key or "oportunidad" in key or key in _SALESFORCE_ONLY for key in keys)
    hubspot = sum(
        key.startswith(("deal", "hs", "hubspot"))
        or key.endswith(("delatransaction", "delnegocio"))
        or key in _HUBSPOT_ONLY
        for key in keys
    )
    if max(salesforce, hubspot) == 0:
        return OTHER
    return SALESFORCE if salesforce >= hubspot else HUBSPOT


def guess_mapping(headers: Sequence[str], saved: Mapping[str, str] | None = None) -> dict[str, str]:
    """``{field: column}`` for every field whose column is recognised; each column is used once.

    ``saved`` is a mapping the user confirmed earlier: its choices come first where the columns still exist.
    """
    mapping: dict[str, str] = {}
    for name, header in (saved or {}).items():
        if name in _KEYS and header in headers and header not in mapping.values():
            mapping[name] = header
    by_key: dict[str, str] = {}
    for header in headers:
        by_key.setdefault(header_key(header), header)
    for field in FIELDS:
        if field.name in mapping:
            continue
        keys = [key for group in _KEYS[field.name] for key in group]
        if field.name == "currency" and "amount" in mapping:
            # With several currencies Salesforce puts "Amount Currency" beside "Amount".
            amount = header_key(mapping["amount"])
            keys = [f"{amount}{word}" for word in _CURRENCY_WORDS] + keys
        for key in keys:
            header = by_key.get(key, "")
            if header and header not in mapping.values():
                mapping[field.name] = header
                break
    return mapping


def check_mapping(mapping: Mapping[str, str], headers: Sequence[str]) -> list[Problem]:
    """What keeps the mapping from being used on a file with these columns, by the fields' labels; empty when nothing.

    An unknown field has no label: it is named as it is.
    """
    problems = []
    labels = {field.name: field.label for field in FIELDS}
    seen: dict[str, str] = {}
    for name, header in mapping.items():
        if name not in labels:
            problems.append(Problem(name, "is not a field of a deal.", f"Use one of: {', '.join(sorted(labels))}."))
            continue
        label = labels[name]
        if header not in headers:
            problems.append(
                Problem(
                    label, f'is to come from "{header}", but the file has no such column.', "Choose one of its own."
                )
            )
        elif header in seen:
            problems.append(
                Problem(
                    label,
                    f'has the same column, "{header}", as {seen[header]}.',
                    "Choose another column for one of the two.",
                )
            )
        seen.setdefault(header, label)
    problems += [
        Problem(field.label, "has no column.", "Choose one.")
        for field in FIELDS
        if field.required and field.name not in mapping
    ]
    if "external_id" not in mapping and "name" not in mapping:
        problems.append(
            Problem(
                labels["external_id"],
                f"has no column, and {labels['name']} has none either, so a deal could not be recognised when it comes "
                "again.",
                "Choose the column with the deal's id; failing that, the one with its name.",
            )
        )
    return problems
